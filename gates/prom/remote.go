package prom

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// remote is the Querier that asks a Prometheus by its HTTP API.
type remote struct {
	base     *url.URL
	http     *http.Client
	timeout  time.Duration
	maxBytes int64
}

func newRemote(o Options, concurrency int) (*remote, error) {
	// The text is not repeated in errors: it can hold a password.
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errors.New("parse the URL of Prometheus: want http://HOST:PORT or https://HOST:PORT")
	}
	return &remote{
		base:     base,
		http:     httpClient(o.HTTP, concurrency),
		timeout:  cmp.Or(o.Timeout, defaultTimeout),
		maxBytes: cmp.Or(o.MaxBytes, int64(defaultMaxBytes)),
	}, nil
}

func httpClient(given *http.Client, concurrency int) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = concurrency
		c.Transport = t
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// Query implements Querier.
func (r *remote) Query(ctx context.Context, query string, at time.Time) (model.Value, error) {
	return r.ask(ctx, "api/v1/query", url.Values{"query": {query}, "time": {unix(at)}})
}

// QueryRange implements Querier.
func (r *remote) QueryRange(ctx context.Context, query string, start, end time.Time, step time.Duration) (model.Value, error) {
	return r.ask(ctx, "api/v1/query_range", url.Values{
		"query": {query}, "start": {unix(start)}, "end": {unix(end)}, "step": {decimal(step.Seconds())},
	})
}

func unix(t time.Time) string { return decimal(float64(t.UnixMilli()) / 1000) }

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// ask sends one question and reads the answer.
func (r *remote) ask(ctx context.Context, path string, form url.Values) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	form.Set("timeout", decimal(r.timeout.Seconds()))
	status, body, err := r.post(ctx, path, form)
	if err != nil {
		return nil, r.reword(ctx, err)
	}
	v, err := decode(status, body)
	if err != nil {
		return nil, r.reworded(err)
	}
	return v, nil
}

// errTooLarge is an answer of more than maxBytes.
type errTooLarge int64

func (e errTooLarge) Error() string {
	return fmt.Sprintf("the answer is larger than %d bytes", int64(e))
}

func (r *remote) post(ctx context.Context, path string, form url.Values) (status int, body []byte, err error) {
	u := r.base.JoinPath(path)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// A query changes nothing: it may be sent again when a kept connection
	// turns out to be closed, as after a restart of Prometheus. The key is for
	// the transport alone; without a value it is not sent.
	req.Header["Idempotency-Key"] = nil
	resp, err := r.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, r.maxBytes+1))
	if err != nil {
		return 0, nil, err
	}
	if int64(len(body)) > r.maxBytes {
		return 0, nil, errTooLarge(r.maxBytes)
	}
	return resp.StatusCode, body, nil
}

// reword says what failed without the URL, which can hold a password.
func (r *remote) reword(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return marked{fmt.Errorf("no answer within %s", model.Duration(r.timeout)), errSlow}
	}
	if ctx.Err() != nil {
		return errors.New("the evaluation was cut off")
	}
	if large := errTooLarge(0); errors.As(err, &large) {
		return Evaluation(err)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	return r.reworded(err)
}

// reworded bounds a message that came from outside to one line, without the
// password if it is echoed. What kind of error it is stays.
func (r *remote) reworded(err error) error {
	msg := err.Error()
	if p, ok := r.base.User.Password(); ok && p != "" {
		msg = strings.ReplaceAll(msg, p, "***")
	}
	out := errors.New(clean(msg))
	for _, kind := range []error{ErrRefused, ErrEvaluation, errSlow} {
		if errors.Is(err, kind) {
			return marked{out, kind}
		}
	}
	return out
}

// decode reads an answer of the API.
func decode(status int, body []byte) (model.Value, error) {
	var reply struct {
		Status    string
		ErrorType string
		Error     string
		Data      struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	err := json.Unmarshal(body, &reply)
	switch {
	case err == nil && reply.Status == "error":
		err = fmt.Errorf("it answered %d: %s: %s", status, reply.ErrorType, reply.Error)
		switch reply.ErrorType {
		case "bad_data":
			return nil, Refused(err)
		case "execution":
			return nil, Evaluation(err)
		case "timeout":
			return nil, marked{err, errSlow}
		}
		return nil, err
	case status >= 300 && status < 400:
		return nil, fmt.Errorf("it answered %d %s; redirects are not followed", status, http.StatusText(status))
	case status != http.StatusOK:
		return nil, fmt.Errorf("it answered %s", strings.TrimSpace(fmt.Sprint(status, " ", http.StatusText(status))))
	case err != nil || reply.Status != "success":
		return nil, errors.New("the answer is not that of a Prometheus: check the URL")
	}
	v, err := decodeResult(reply.Data.ResultType, reply.Data.Result)
	if err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	return v, nil
}

func decodeResult(kind string, raw json.RawMessage) (model.Value, error) {
	switch kind {
	case "scalar":
		v := new(model.Scalar)
		return v, json.Unmarshal(raw, v)
	case "vector":
		v := model.Vector{}
		err := json.Unmarshal(raw, &v)
		return v, err
	case "matrix":
		v := model.Matrix{}
		err := json.Unmarshal(raw, &v)
		return v, err
	case "string":
		v := new(model.String)
		return v, json.Unmarshal(raw, v)
	}
	return nil, fmt.Errorf("the result is of the unknown type %q", kind)
}
