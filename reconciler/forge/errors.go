package forge

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Error is an exchange that failed. Its text has one line, is bounded, and
// holds no secret.
type Error struct {
	Kind Kind
	// Call in words, such as "set the status".
	Call string
	// Code of the answer; 0 where there was none.
	Code int
	// Text of the forge, or what went wrong.
	Text string
	// Hint says what to do; may be empty.
	Hint string
	// Until is when the forge takes calls again; zero where it set no limit.
	Until time.Time
	// again: nothing was done, and after Until it may be.
	again bool
	// maybe: what was asked for may have been done.
	maybe bool
	cause error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s: ", e.Kind, e.Call)
	if e.Code != 0 {
		s += fmt.Sprintf("%d ", e.Code)
	}
	s += e.Text
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap is the context's error where that ended the call.
func (e *Error) Unwrap() error { return e.cause }

// maxWords bounds what is kept of a forge's own words.
const maxWords = 300

// oneLine makes a forge's words fit for a log, without the token.
func oneLine(s, token string) string {
	if token != "" {
		s = strings.ReplaceAll(s, token, "[token]")
	}
	s = strings.ToValidUTF8(s, "?")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f && r < 0xa0 }), " ")
	return shorten(s, maxWords)
}

// refused is the error of an answer that is not a success.
func (c *Client) refused(cl call, code int, words string) *Error {
	e := &Error{Kind: c.o.Place.Kind, Call: cl.does, Code: code, Text: words}
	if e.Text == "" {
		e.Text = http.StatusText(code)
	}
	needs := c.d.needs(cl.name)
	switch code {
	case http.StatusUnauthorized:
		e.Hint = fmt.Sprintf("the token in %q is not accepted: it may have expired or been revoked", c.o.TokenFile)
	case http.StatusForbidden:
		e.Hint = "the token needs " + needs
	case http.StatusNotFound:
		e.Hint = fmt.Sprintf("%s is not there, or the token may not see it: it needs %s", c.o.Place.Project, needs)
	}
	return e
}
