package forge

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limitWait is how long to stay away from a forge that gives no time.
const limitWait = time.Minute

// limited reports whether an answer says that too much was asked, and when to
// come again. GitHub answers 403 or 429, the others 429.
func limited(code int, h http.Header, words string, now time.Time) (time.Time, bool) {
	spent := h.Get("X-RateLimit-Remaining") == "0"
	switch {
	case code == http.StatusTooManyRequests:
	case code == http.StatusForbidden && (spent || h.Get("Retry-After") != "" || strings.Contains(strings.ToLower(words), "rate limit")):
	default:
		return time.Time{}, false
	}
	if at, ok := retryAfter(h, now); ok {
		return at, true
	}
	if at, ok := reset(h); ok && (spent || code == http.StatusTooManyRequests) {
		return at, true
	}
	return now.Add(limitWait), true
}

// spent reports whether a good answer was the last one that the limit allows.
func spent(h http.Header) (time.Time, bool) {
	if h.Get("X-RateLimit-Remaining") != "0" && h.Get("RateLimit-Remaining") != "0" {
		return time.Time{}, false
	}
	return reset(h)
}

// reset is in seconds since 1970, at GitHub and at GitLab.
func reset(h http.Header) (time.Time, bool) {
	for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
		if n, err := strconv.ParseInt(h.Get(name), 10, 64); err == nil && n > 0 {
			return time.Unix(n, 0), true
		}
	}
	return time.Time{}, false
}

// retryAfter is in seconds, or a date.
func retryAfter(h http.Header, now time.Time) (time.Time, bool) {
	s := h.Get("Retry-After")
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return now.Add(time.Duration(n) * time.Second), true
	}
	at, err := http.ParseTime(s)
	return at, err == nil
}

// hasNext reports whether another page follows. Its address is made here: no
// URL of an answer is ever called.
func hasNext(h http.Header) bool {
	return h.Get("X-Next-Page") != "" || strings.Contains(h.Get("Link"), `rel="next"`)
}
