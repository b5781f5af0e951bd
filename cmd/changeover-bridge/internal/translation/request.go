package translation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/render/translate"
)

// bodyTime is how long a body that is to be translated may take to arrive.
const bodyTime = time.Minute

// Problem is why a request is not translated: the status to answer with, and a
// text that holds no value of the request.
type Problem struct {
	Status int
	Text   string
}

// Error is the text.
func (p *Problem) Error() string { return p.Text }

// Exchange is one request that is translated, and its answer. It is used by one
// goroutine at a time.
type Exchange struct {
	tr     *translate.Translation
	in     *translate.Request
	query  string // of the client
	change translate.RequestChange
	// body is what was read of the client; read: that was all of it.
	body []byte
	read bool
}

// Begin reads what it needs of a client's request and translates it. Apply then
// changes the request on its way.
func Begin(w http.ResponseWriter, r *http.Request, tr *translate.Translation) (*Exchange, *Problem) {
	e := view(r, tr)
	if tr.ReadsRequestBody() && r.Body != nil && r.Body != http.NoBody {
		if p := e.readBody(w, r); p != nil {
			return nil, p
		}
	}
	if p := e.translate(r.Context(), r.Header); p != nil {
		return nil, p
	}
	return e, nil
}

// Copy is a request of which a copy is translated later, with Translate. The
// client's request may be over by then.
func Copy(r *http.Request, tr *translate.Translation) *Exchange { return view(r, tr) }

// Translate translates the copy with the body that was kept of the request, and
// changes it but for its query.
func (e *Exchange) Translate(out *http.Request, body []byte) error {
	e.body, e.read = body, true
	if len(body) > e.tr.MaxBody() {
		return e.tooLarge()
	}
	if p := e.translate(out.Context(), out.Header); p != nil {
		return p
	}
	e.Apply(out)
	return nil
}

// view is what expressions read of a request, without its body.
func view(r *http.Request, tr *translate.Translation) *Exchange {
	path, _ := route.Path(r.URL)
	in := &translate.Request{
		Method: r.Method, Path: path, Segments: segments(path), Query: map[string]string{}, Headers: headersOf(r.Header),
	}
	in.Headers["host"] = r.Host
	for name, values := range r.URL.Query() { // what does not parse is left out
		in.Query[name] = values[0]
	}
	return &Exchange{tr: tr, in: in, query: r.URL.RawQuery}
}

func segments(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// headersOf are the first values by names in lower case. What the bridge itself says
// in headers is left out: from outside it says nothing.
func headersOf(h http.Header) map[string]string {
	out := make(map[string]string, len(h)+1)
	for name, values := range h {
		if name = strings.ToLower(name); len(values) > 0 && !strings.HasPrefix(name, "x-changeover-") {
			out[name] = values[0]
		}
	}
	return out
}

func (e *Exchange) tooLarge() *Problem {
	return &Problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than the %d bytes that translation %s takes", e.tr.MaxBody(), e.tr.Name())}
}

// readBody reads the client's body, no more than maxBody.
func (e *Exchange) readBody(w http.ResponseWriter, r *http.Request) *Problem {
	if most := int64(e.tr.MaxBody()); r.ContentLength <= most {
		if p := e.media(r.Header, r.ContentLength); p != nil {
			return p
		}
	}
	body, p := ReadBody(w, r, e.tr.MaxBody(), e.tooLarge())
	if p != nil {
		return p
	}
	e.body, e.read = body, true
	return nil
}

// ReadBody reads a client's body: so many bytes at most, and no longer than bodyTime.
func ReadBody(w http.ResponseWriter, r *http.Request, most int, tooLarge *Problem) ([]byte, *Problem) {
	if r.ContentLength > int64(most) {
		return nil, tooLarge
	}
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Now().Add(bodyTime)) // a recorder of tests has none
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &Problem{http.StatusRequestTimeout, "the body did not arrive in time"}
	case err != nil:
		return nil, &Problem{http.StatusBadRequest, "the body could not be read"}
	case len(body) > most:
		return nil, tooLarge
	}
	_ = ctl.SetReadDeadline(time.Time{})
	return body, nil
}

// media refuses a body that is not JSON by its headers.
func (e *Exchange) media(h http.Header, length int64) *Problem {
	refuse := func(what string) *Problem {
		return &Problem{http.StatusUnsupportedMediaType, fmt.Sprintf("translation %s takes JSON alone: %s", e.tr.Name(), what)}
	}
	switch {
	case Encoded(h):
		return refuse("send the body without Content-Encoding")
	case length != 0 && !isJSON(h):
		return refuse("want Content-Type application/json in UTF-8")
	}
	return nil
}

// Encoded reports whether a body is compressed or the like.
func Encoded(h http.Header) bool {
	for _, v := range h["Content-Encoding"] {
		if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "identity") {
			return true
		}
	}
	return false
}

// isJSON reports whether a body is JSON in UTF-8 by its only Content-Type.
func isJSON(h http.Header) bool {
	if len(h["Content-Type"]) != 1 {
		return false
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return false
	}
	charset, ok := params["charset"]
	return (media == "application/json" || strings.HasSuffix(media, "+json")) && (!ok || strings.EqualFold(charset, "utf-8"))
}

// translate decides what changes. The headers say what the body is.
func (e *Exchange) translate(ctx context.Context, h http.Header) *Problem {
	if e.read && e.tr.ReadsRequestBody() && len(e.body) > 0 {
		if p := e.media(h, int64(len(e.body))); p != nil {
			return p
		}
		body, err := translate.Decode(e.body)
		if err != nil {
			return &Problem{http.StatusBadRequest, err.Error()}
		}
		e.in.Body = body
	}
	ctx, cancel := context.WithTimeout(ctx, translate.MaxTime)
	defer cancel()
	change, err := e.tr.Request(ctx, e.in)
	if err != nil {
		return &Problem{http.StatusBadRequest, err.Error()}
	}
	e.change = change
	if !e.tr.KeepsRequestBody() {
		e.in.Body = nil
	}
	return nil
}

// Apply changes a request on its way: all but its query, which Query makes.
func (e *Exchange) Apply(out *http.Request) {
	if e.change.Method != "" {
		out.Method = e.change.Method
	}
	if e.change.Path != "" {
		if plain, err := url.PathUnescape(e.change.Path); err == nil { // it was escaped here
			out.URL.Path, out.URL.RawPath = plain, e.change.Path
		}
	}
	switch {
	case e.change.SetsBody:
		newBody(out.Header, e.change.Body)
		setBody(out, e.change.Body)
	case e.read:
		setBody(out, e.body)
	}
	if e.tr.ReadsResponseBody() || e.tr.SetsResponseBody() {
		out.Header.Set("Accept-Encoding", "identity")
		out.Header.Del("Range")
		out.Header.Del("If-Range")
	}
	setHeaders(out.Header, e.change.Header)
}

func setBody(out *http.Request, body []byte) {
	out.Header.Del("Expect") // the body is there
	out.Trailer, out.TransferEncoding = nil, nil
	out.ContentLength = int64(len(body))
	out.Header.Del("Content-Length") // written from the field
	if len(body) == 0 {
		out.Body = http.NoBody
		return
	}
	out.Body = io.NopCloser(bytes.NewReader(body))
}

// newBody mends the headers that describe a body which is another one now; nil:
// there is none.
func newBody(h http.Header, body []byte) {
	for _, name := range []string{"Content-Encoding", "Content-Md5", "Content-Digest", "Repr-Digest", "Digest", "Etag", "Trailer", "Accept-Ranges", "Content-Range"} {
		delete(h, name)
	}
	if body == nil {
		h.Del("Content-Type")
		return
	}
	h.Set("Content-Type", "application/json")
}

func setHeaders(h http.Header, sets []translate.Set) {
	for _, s := range sets {
		name := http.CanonicalHeaderKey(s.Name)
		if len(s.Values) == 0 {
			delete(h, name)
			continue
		}
		h[name] = s.Values
	}
}

// Query is the query of the request to modern. What is not named stays as the
// client wrote it.
func (e *Exchange) Query() string {
	if len(e.change.Query) == 0 {
		return e.query
	}
	var parts []string
	for part := range strings.SplitSeq(e.query, "&") {
		if name, _, _ := strings.Cut(part, "="); part != "" && !e.sets(name) {
			parts = append(parts, part)
		}
	}
	for _, s := range e.change.Query {
		for _, v := range s.Values {
			parts = append(parts, url.QueryEscape(s.Name)+"="+url.QueryEscape(v))
		}
	}
	return strings.Join(parts, "&")
}

func (e *Exchange) sets(name string) bool {
	plain, err := url.QueryUnescape(name)
	if err != nil {
		plain = name
	}
	for _, s := range e.change.Query {
		if s.Name == plain {
			return true
		}
	}
	return false
}
