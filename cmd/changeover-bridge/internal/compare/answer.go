package compare

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxDecoded is the most bytes of a body when it is decoded.
	maxDecoded = 4 << 20
	// maxEncodings are those of one body.
	maxEncodings = 4
)

// Answer is what one side said.
type Answer struct {
	Status int
	// Header holds at least Content-Type, Content-Encoding and those that the
	// comparison names.
	Header http.Header
	// Body as it came.
	Body []byte
	// Flaw says why the answer is not whole, in a few words; empty: it is.
	Flaw string
	// Took is the time to the first byte of the answer.
	Took time.Duration
}

// Flaws of answers. Those of modern make a comparison errored but for the first.
const (
	TooLarge   = "too large"
	NoAnswer   = "no answer"
	TimedOut   = "timed out"
	BrokenOff  = "broken off"
	ClientLeft = "the client left"
	// Untranslated: the answer could not be brought into legacy's form.
	Untranslated = "not translated"
)

var (
	errTooLarge = errors.New("the decoded body is too large")
	errEncoding = errors.New("the encoding cannot be read")
)

// decoded is the body without its content encodings.
func (a *Answer) decoded() ([]byte, error) {
	body := a.Body
	codings := strings.Split(strings.Join(a.Header["Content-Encoding"], ","), ",")
	if len(codings) > maxEncodings {
		return nil, errEncoding
	}
	for i := len(codings) - 1; i >= 0; i-- {
		var err error
		if body, err = decode(strings.ToLower(strings.TrimSpace(codings[i])), body); err != nil {
			return nil, err
		}
	}
	if len(body) > maxDecoded {
		return nil, errTooLarge
	}
	return body, nil
}

func decode(coding string, body []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch coding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		// By the standard it is zlib; some servers send it bare.
		if r, err = zlib.NewReader(bytes.NewReader(body)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	default:
		return nil, errEncoding
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, maxDecoded+1))
	switch {
	case err != nil:
		return nil, err
	case len(out) > maxDecoded:
		return nil, errTooLarge
	}
	return out, nil
}

// media is the type of the body and its charset, both in lower case.
func (a *Answer) media() (typ, charset string) {
	typ, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		return "", ""
	}
	return typ, strings.ToLower(params["charset"])
}

// utf8Text is a body in UTF-8 where its charset is known, else as it is.
func utf8Text(body []byte, charset string) []byte {
	if charset != "iso-8859-1" && charset != "latin1" {
		return body
	}
	out := make([]byte, 0, len(body)+len(body)/8)
	for _, b := range body {
		out = utf8.AppendRune(out, rune(b))
	}
	return out
}

// isJSON reports whether the body says that it is JSON, or says nothing and looks
// like it.
func isJSON(typ string, body []byte) bool {
	if typ == "" {
		b := bytes.TrimLeft(body, " \t\r\n\ufeff")
		return len(b) > 0 && (b[0] == '{' || b[0] == '[')
	}
	return typ == "application/json" || typ == "text/json" || strings.HasSuffix(typ, "+json")
}
