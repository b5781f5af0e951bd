package translation

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/changeover-dev/changeover/render/translate"
)

// Answer translates an answer of modern in place. Errors are *translate.Failure.
func (e *Exchange) Answer(ctx context.Context, res *http.Response) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	if e.tr.Answers() {
		if err := e.answer(ctx, res); err != nil {
			return err
		}
	}
	e.settle(res)
	return nil
}

// settle drops a body that the client is not to get, and the length of one that is
// not there: method and status may be others than modern's.
func (e *Exchange) settle(res *http.Response) {
	asked, got := e.in.Method == http.MethodHead, res.Request.Method == http.MethodHead
	switch {
	case bodiless(res.StatusCode), asked && !got:
		_ = res.Body.Close()
		res.Body, res.ContentLength, res.TransferEncoding, res.Trailer = http.NoBody, 0, nil, nil
		delete(res.Header, "Trailer")
		if !asked {
			delete(res.Header, "Content-Length")
		}
	case got && !asked:
		delete(res.Header, "Content-Length")
	}
}

func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

func (e *Exchange) answer(ctx context.Context, res *http.Response) error {
	a := &translate.Response{Status: res.StatusCode, Headers: headersOf(res.Header)}
	// What the client asked counts: what was asked of modern may be another method.
	a.Hidden = e.in.Method == http.MethodHead || res.Request.Method == http.MethodHead || res.StatusCode == http.StatusNotModified
	var raw []byte
	reads := e.tr.ReadsResponseBody() && !a.Hidden
	if e.tr.ReadsResponseBody() || e.tr.SetsResponseBody() {
		if !a.Hidden && hasBody(res) && !isJSON(res.Header) {
			return nil
		}
	}
	if reads {
		var err error
		if raw, err = e.readAnswer(res); err != nil {
			return err
		}
		if a.Body, err = translate.Decode(raw); err != nil {
			return e.failure(err.Error())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, translate.MaxTime)
	defer cancel()
	change, err := e.tr.Response(ctx, e.in, a)
	if err != nil {
		return err
	}
	if change.Status != 0 {
		res.StatusCode, res.Status = change.Status, strconv.Itoa(change.Status)+" "+http.StatusText(change.Status)
	}
	switch {
	case change.SetsBody:
		newBody(res.Header, change.Body)
		replaceBody(res, change.Body)
	case reads:
		replaceBody(res, raw)
	case a.Hidden && e.tr.SetsResponseBody():
		// Lengths and tags are of a body that a GET does not get.
		newBody(res.Header, []byte{})
		delete(res.Header, "Content-Length")
		res.ContentLength = -1
	}
	setHeaders(res.Header, change.Header)
	return nil
}

// hasBody reports whether an answer may have a body.
func hasBody(res *http.Response) bool {
	return res.ContentLength != 0 && res.StatusCode != http.StatusNoContent && res.Body != nil && res.Body != http.NoBody
}

func (e *Exchange) failure(why string) error {
	return &translate.Failure{Translation: e.tr.Name(), Field: "response.body", Why: why}
}

// readAnswer reads the whole body of an answer, no more than maxBody and no longer
// than bodyTime.
func (e *Exchange) readAnswer(res *http.Response) ([]byte, error) {
	if !hasBody(res) {
		return nil, nil
	}
	if Encoded(res.Header) {
		return nil, e.failure("modern encoded it, although it was asked not to")
	}
	most := int64(e.tr.MaxBody())
	var late atomic.Bool
	timer := time.AfterFunc(bodyTime, func() { late.Store(true); _ = res.Body.Close() })
	defer timer.Stop()
	raw, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case late.Load():
		return nil, e.failure("it did not arrive in time")
	case err != nil:
		return nil, e.failure("modern broke it off")
	case int64(len(raw)) > most:
		return nil, e.failure("it is larger than maxBody")
	}
	return raw, nil
}

// replaceBody sets what is sent.
func replaceBody(res *http.Response, body []byte) {
	_ = res.Body.Close()
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res.TransferEncoding, res.Trailer = nil, nil
	delete(res.Header, "Trailer")
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
}
