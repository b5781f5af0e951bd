package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync/atomic"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/shadow"
	"github.com/changeover-dev/changeover/plan"
)

// judged is a request whose two answers are compared when both are there. Its
// methods do nothing on nil.
type judged struct {
	by    *shadowOf
	job   shadow.Job
	start time.Time
	// left are the answers that are not there yet.
	left atomic.Int32
	// ended: legacy's answer was taken up. Only the caller's goroutine uses it.
	ended bool
	kept  tee
}

// judge has the answers to a copy compared. Where there is none, it counts why.
func (e *exchange) judge(pr *httputil.ProxyRequest, why string) {
	switch {
	case e.shadow == nil:
	case e.copied != nil:
		j := &judged{by: e.shadow, start: time.Now()}
		j.job.Recorder, j.job.Method, j.job.Path = e.shadow.Recorder, pr.In.Method, pr.In.URL.Path
		j.left.Store(2)
		e.copied.judged = j
	case why != "":
		e.shadow.Dropped(pr.In.Method, pr.In.URL.Path, why)
	}
}

// repeatable lets legacy be asked again, where the plan wants it and nothing can
// come of it.
func (j *judged) repeatable(out *http.Request) {
	if j == nil || !j.by.Baseline() || out.Body != nil && out.Body != http.NoBody || !slices.Contains(plan.SafeMethods, out.Method) {
		return
	}
	by := j.by
	j.job.Again = func(ctx context.Context) (a compare.Answer) {
		ctx, cancel := context.WithTimeout(ctx, mirrorTime)
		defer cancel()
		start := time.Now()
		res, err := by.repeat.transport.RoundTrip(out.Clone(ctx)) //nolint:bodyclose // answer closes it
		a.Took = time.Since(start)
		_ = by.answer(&a, res, err)
		return a
	}
}

// done is called once for each answer; the last one has them compared.
func (j *judged) done() {
	if j.left.Add(-1) == 0 {
		j.by.queue.Put(&j.job)
	}
}

// dropped: there is no copy, and so no comparison.
func (j *judged) dropped(why string) {
	if j == nil {
		return
	}
	words := map[string]string{mirrorTooLarge: "request body too large", mirrorPartial: "request body incomplete", mirrorUntranslated: "not translated"}
	j.by.Dropped(j.job.Method, j.job.Path, words[why])
}

// legacy keeps the answer while the client reads it.
func (j *judged) legacy(res *http.Response) {
	if j == nil || res.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	a := &j.job.Legacy
	a.Took, a.Status, a.Header = time.Since(j.start), res.StatusCode, j.by.counting(res.Header)
	j.kept = tee{ReadCloser: res.Body, judged: j}
	switch {
	case res.Request.Method == http.MethodHead: // its length is not that of a body
	case res.ContentLength > mirrorAnswer:
		j.finish(compare.TooLarge)
		return
	case res.ContentLength > 0:
		j.kept.body = make([]byte, 0, res.ContentLength)
	}
	res.Body = &j.kept
}

// end: nothing more comes of legacy.
func (j *judged) end() {
	if j == nil {
		return
	}
	flaw := compare.ClientLeft
	if j.job.Legacy.Status == 0 {
		flaw = compare.NoAnswer
	}
	j.finish(flaw)
}

// finish takes up legacy's answer, once.
func (j *judged) finish(flaw string) {
	if !j.ended {
		j.ended = true
		j.job.Legacy.Body, j.job.Legacy.Flaw = j.kept.body, flaw
		j.kept.body = nil
		j.done()
	}
}

// tee keeps what the client is sent, up to mirrorAnswer.
type tee struct {
	io.ReadCloser
	judged *judged
	body   []byte
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.judged.ended {
		return n, err
	}
	switch {
	case len(t.body)+n > mirrorAnswer:
		t.judged.finish(compare.TooLarge)
		return n, err
	case n > 0:
		t.body = append(t.body, p[:n]...)
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		t.judged.finish("")
	case errors.Is(err, context.Canceled):
		t.judged.finish(compare.ClientLeft)
	default:
		t.judged.finish(compare.BrokenOff)
	}
	return n, err
}

// modern reads the answer to a copy, to compare it or to drop it, and closes it.
// The error is that of the answer.
func (j *judged) modern(res *http.Response, err error, took time.Duration) error {
	if j == nil {
		if err != nil {
			return err
		}
		_, err = io.CopyN(io.Discard, res.Body, mirrorAnswer)
		if err == io.EOF { //nolint:errorlint // CopyN returns it as it is
			err = nil
		}
		_ = res.Body.Close()
		return err
	}
	defer j.done()
	j.job.Modern.Took = took
	return j.by.answer(&j.job.Modern, res, err)
}

// answer reads an answer that no client waits for.
func (s *shadowOf) answer(a *compare.Answer, res *http.Response, err error) error {
	if err != nil {
		a.Flaw, a.Took = compare.NoAnswer, 0
		var timeout net.Error
		switch {
		case errors.Is(err, errUntranslated):
			a.Flaw = compare.Untranslated
		case errors.As(err, &timeout) && timeout.Timeout():
			a.Flaw = compare.TimedOut
		}
		return err
	}
	defer func() { _ = res.Body.Close() }()
	a.Status, a.Header = res.StatusCode, s.counting(res.Header)
	a.Body, err = io.ReadAll(io.LimitReader(res.Body, mirrorAnswer+1))
	switch {
	case err != nil:
		a.Flaw = compare.BrokenOff
	case len(a.Body) > mirrorAnswer:
		a.Flaw, a.Body = compare.TooLarge, nil
	}
	return err
}

// counting are the headers of an answer that a comparison reads.
func (s *shadowOf) counting(h http.Header) http.Header {
	out := make(http.Header, 2+len(s.Headers()))
	for _, names := range [][]string{{"Content-Type", "Content-Encoding"}, s.Headers()} {
		for _, name := range names {
			name = http.CanonicalHeaderKey(name)
			if v, ok := h[name]; ok {
				out[name] = v
			}
		}
	}
	return out
}
