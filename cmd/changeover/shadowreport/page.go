package shadowreport

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"share": Share, "seconds": Seconds, "signed": Signed,
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
}).Parse(pageSource))

// HTML writes the report as a page that needs nothing else.
func (r *Report) HTML(w io.Writer) error {
	if err := page.Execute(w, r); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// Share is a rate in percent, never rounded up to all of it; - where there is none.
func Share(rate *float64) string {
	if rate == nil {
		return "-"
	}
	s := fmt.Sprintf("%.2f%%", *rate*100)
	if s == "100.00%" && *rate < 1 {
		return "99.99%"
	}
	return s
}

// Seconds is a time for people.
func Seconds(s float64) string {
	switch {
	case s == 0:
		return "-"
	case s < 1:
		return fmt.Sprintf("%.3g ms", s*1000)
	}
	return fmt.Sprintf("%.3g s", s)
}

// Signed is the mean delta with its interval.
func Signed(l Latency) string {
	switch {
	case l.Requests == 0:
		return "-"
	case l.Low == nil:
		return fmt.Sprintf("%+.3g ms (too few)", l.Delta*1000)
	}
	return fmt.Sprintf("%+.3g ms (%+.3g to %+.3g)", l.Delta*1000, *l.Low*1000, *l.High*1000)
}
