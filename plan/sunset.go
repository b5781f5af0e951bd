package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// httpDate is the form of dates in HTTP headers.
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// since1970 is a date as a structured field, and linkForm how a Link begins.
var (
	since1970 = regexp.MustCompile(`^@-?[0-9]{1,12}$`)
	linkForm  = regexp.MustCompile(`^<[^<>\s]*>(\s*;|\s*,|$)`)
)

// retirement checks the headers that tell clients of the end of what they call:
// Sunset (RFC 8594), Deprecation (RFC 9745) and Link (RFC 8288). In another form
// clients do not see them.
func (v *validator) retirement(path string, headers map[string]string) {
	var sunset, deprecated time.Time
	var sunsetAt string
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at, value := join(path, name), headers[name]
		switch strings.ToLower(name) {
		case "sunset":
			sunset, sunsetAt = v.sunset(at, value), at
		case "deprecation":
			deprecated = v.deprecation(at, value)
		case "link":
			if !linkForm.MatchString(value) {
				v.at(at, "header", fmt.Sprintf("%s is not a link", shorten(value)), `put the address in angle brackets: <https://example.com/new>; rel="successor-version"`)
			}
		}
	}
	if !sunset.IsZero() && !deprecated.IsZero() && sunset.Before(deprecated) {
		v.at(sunsetAt, "header", "the sunset is before the deprecation", "clients take neither then: let Deprecation be at or before "+stamp(sunset))
	}
}

// sunset is the time that the header says; zero where it says none.
func (v *validator) sunset(at, value string) time.Time {
	t, err := time.Parse(httpDate, value)
	if err == nil && t.Format(httpDate) == value {
		return t
	}
	if err != nil {
		t = otherDate(value)
	}
	hint := "write it as " + httpDate
	if !t.IsZero() {
		hint = "write " + t.UTC().Format(httpDate)
	}
	v.at(at, "header", fmt.Sprintf("%s is not an HTTP date", shorten(value)), hint)
	return time.Time{}
}

// deprecation is the time that the header says; zero where it says none.
func (v *validator) deprecation(at, value string) time.Time {
	if since1970.MatchString(value) {
		if n, err := strconv.ParseInt(value[1:], 10, 64); err == nil {
			return time.Unix(n, 0)
		}
	}
	hint := "write the seconds since 1970 behind an @: @1798761600 is 2027-01-01T00:00:00Z"
	if t := otherDate(value); !t.IsZero() {
		hint = "write " + stamp(t)
	}
	v.at(at, "header", fmt.Sprintf("%s is not a date of a Deprecation header", shorten(value)), hint)
	return time.Time{}
}

func stamp(t time.Time) string { return fmt.Sprintf("@%d", t.Unix()) }

// otherDate reads dates in the forms that people take for that of a header; zero
// for what is none.
func otherDate(value string) time.Time {
	for _, form := range []string{time.RFC3339, time.DateOnly, time.RFC1123, time.RFC1123Z} {
		if t, err := time.Parse(form, value); err == nil {
			return t
		}
	}
	if since1970.MatchString("@" + strings.TrimPrefix(value, "@")) {
		if n, err := strconv.ParseInt(strings.TrimPrefix(value, "@"), 10, 64); err == nil {
			return time.Unix(n, 0)
		}
	}
	return time.Time{}
}
