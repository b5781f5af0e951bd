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
	"unicode"

	"github.com/prometheus/common/model"
)

// Options of New.
type Options struct {
	// URL of the Prometheus, with the path below which its API is. User and
	// password in it are sent as basic authentication.
	URL string
	// Timeout of one query, from when it is sent. 10s where zero.
	Timeout time.Duration
	// HTTP is the client to use; nil: one of its own. Redirects are never
	// followed.
	HTTP *http.Client
	// Concurrency is how many queries are under way at once. 4 where zero.
	Concurrency int
	// MaxBytes bounds one answer. 8 MiB where zero.
	MaxBytes int64
	// Tick rounds down the time of the queries, so that plans which are
	// evaluated within one tick share the answers. 1s where zero.
	Tick time.Duration
}

const (
	defaultTimeout     = 10 * time.Second
	defaultConcurrency = 4
	defaultMaxBytes    = 8 << 20
	defaultTick        = time.Second
	// maxMessage bounds what of a server's message is shown, in runes.
	maxMessage = 300
)

// Client asks one Prometheus. It is safe for concurrent use.
type Client struct {
	base     *url.URL
	http     *http.Client
	timeout  time.Duration
	maxBytes int64
	tick     time.Duration
	shared   *shared
}

// New makes a client; nothing is sent yet.
func New(o Options) (*Client, error) {
	// The text is not repeated in errors: it can hold a password.
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errors.New("parse the URL of Prometheus: want http://HOST:PORT or https://HOST:PORT")
	}
	if o.Timeout < 0 || o.Concurrency < 0 || o.MaxBytes < 0 || o.Tick < 0 {
		return nil, errors.New("check the options of the Prometheus client: timeout, concurrency, size and tick must not be negative")
	}
	concurrency := cmp.Or(o.Concurrency, defaultConcurrency)
	c := &Client{
		base:     base,
		http:     httpClient(o.HTTP, concurrency),
		timeout:  cmp.Or(o.Timeout, defaultTimeout),
		maxBytes: cmp.Or(o.MaxBytes, int64(defaultMaxBytes)),
		tick:     cmp.Or(o.Tick, defaultTick),
	}
	c.shared = newShared(concurrency, c.query)
	return c, nil
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

// ask is one question to the API; times are in milliseconds. An instant query
// has no step, and its start is its end.
type ask struct {
	query            string
	start, end, step int64
}

// query sends one question and reads the answer.
func (c *Client) query(ctx context.Context, a ask) answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	status, body, err := c.post(ctx, a)
	if err != nil {
		return answer{err: fmt.Errorf("query Prometheus: %w", c.reword(ctx, err))}
	}
	values, err := decode(status, body, a)
	if err != nil {
		return answer{err: fmt.Errorf("query Prometheus: %s", c.clean(err.Error()))}
	}
	return answer{values: values}
}

func (c *Client) post(ctx context.Context, a ask) (status int, body []byte, err error) {
	form := url.Values{"query": {a.query}, "timeout": {seconds(c.timeout.Milliseconds())}}
	u := c.base.JoinPath("api/v1/query")
	if a.step == 0 {
		form.Set("time", seconds(a.end))
	} else {
		u = c.base.JoinPath("api/v1/query_range")
		form.Set("start", seconds(a.start))
		form.Set("end", seconds(a.end))
		form.Set("step", seconds(a.step))
	}
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
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, c.maxBytes+1))
	if err != nil {
		return 0, nil, err
	}
	if int64(len(body)) > c.maxBytes {
		return 0, nil, fmt.Errorf("the answer is larger than %d bytes", c.maxBytes)
	}
	return resp.StatusCode, body, nil
}

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64) }

// reword says what failed without the URL, which can hold a password.
func (c *Client) reword(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", model.Duration(c.timeout))
	}
	if ctx.Err() != nil {
		return errors.New("the evaluation was cut off")
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	return errors.New(c.clean(err.Error()))
}

// clean bounds a message that came from outside to one line, without the
// password if it is echoed.
func (c *Client) clean(msg string) string {
	if p, ok := c.base.User.Password(); ok && p != "" {
		msg = strings.ReplaceAll(msg, p, "***")
	}
	runes := []rune(strings.ToValidUTF8(msg, "?"))
	if len(runes) > maxMessage {
		runes = append(runes[:maxMessage], []rune("...")...)
	}
	for i, r := range runes {
		if unicode.IsControl(r) {
			runes[i] = ' '
		}
	}
	return string(runes)
}

// decode reads an answer of the API into its values by time.
func decode(status int, body []byte, a ask) (map[int64]float64, error) {
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
		return nil, fmt.Errorf("it answered %d: %s: %s", status, reply.ErrorType, reply.Error)
	case status >= 300 && status < 400:
		return nil, fmt.Errorf("it answered %d %s; redirects are not followed", status, http.StatusText(status))
	case status != http.StatusOK:
		return nil, fmt.Errorf("it answered %s", strings.TrimSpace(fmt.Sprint(status, " ", http.StatusText(status))))
	case err != nil || reply.Status != "success":
		return nil, errors.New("the answer is not that of a Prometheus: check the URL")
	}
	kind := reply.Data.ResultType
	if instant := kind == "scalar" || kind == "vector"; instant != (a.step == 0) || !instant && kind != "matrix" {
		return nil, fmt.Errorf("the query answers with a %s, want one number", kind)
	}
	return decodeResult(kind, reply.Data.Result, a.end)
}

// decodeResult reads a result. The time of instant ones is at.
func decodeResult(kind string, raw json.RawMessage, at int64) (map[int64]float64, error) {
	malformed := func(err error) error { return fmt.Errorf("decode the answer: %w", err) }
	switch kind {
	case "scalar":
		var s model.Scalar
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, malformed(err)
		}
		return map[int64]float64{at: float64(s.Value)}, nil
	case "vector":
		var v model.Vector
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, malformed(err)
		}
		m := make(model.Matrix, len(v))
		for i, s := range v {
			m[i] = &model.SampleStream{Metric: s.Metric, Values: []model.SamplePair{{Timestamp: model.Time(at), Value: s.Value}}}
			if s.Histogram != nil {
				m[i].Histograms = []model.SampleHistogramPair{{}}
			}
		}
		return single(m)
	}
	var m model.Matrix
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, malformed(err)
	}
	return single(m)
}

// single returns the values by time, of which there must be at most one for
// each time. Series that follow one another in time are one value each.
func single(m model.Matrix) (map[int64]float64, error) {
	values := map[int64]float64{}
	owner := map[int64]int{}
	for i, s := range m {
		if len(s.Histograms) > 0 {
			return nil, fmt.Errorf("the query answers with a histogram, want one number: %s", labels(s.Metric))
		}
		for _, p := range s.Values {
			t := int64(p.Timestamp)
			if first, taken := owner[t]; taken {
				return nil, fmt.Errorf("the query answers with %d series, want 1: %s and %s; aggregate them, for example with sum(...)",
					seriesAt(m, p.Timestamp), labels(m[first].Metric), labels(s.Metric))
			}
			owner[t] = i
			values[t] = float64(p.Value)
		}
	}
	return values, nil
}

func seriesAt(m model.Matrix, t model.Time) int {
	n := 0
	for _, s := range m {
		for _, p := range s.Values {
			if p.Timestamp == t {
				n++
				break
			}
		}
	}
	return n
}

// labels prints a label set, bounded.
func labels(m model.Metric) string {
	const most = 100
	if s := []rune(m.String()); len(s) > most {
		return string(s[:most]) + "..."
	}
	return m.String()
}
