package send

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
)

// Kind of a receiver.
type Kind string

// Alertmanager by its API v2, Slack by an incoming webhook or what takes the same,
// Webhook by CloudEvents 1.0 in the structured mode of HTTP.
const (
	Alertmanager Kind = "alertmanager"
	Slack        Kind = "slack"
	Webhook      Kind = "webhook"
)

// Receiver is one that is told.
type Receiver struct {
	notice.Receiver
	Kind Kind
	// URL, or the file that holds it: exactly one. Of an Alertmanager it is that
	// of its root, without /api/v2.
	URL, URLFile string
	// TokenFile holds what is sent as a bearer token; empty: none is.
	TokenFile string
	// Template of the text; nil: the one of DefaultText.
	Template *template.Template
}

// Options of a Sender. Statuses, Now and Log are required.
type Options struct {
	Receivers []Receiver
	// Statuses of all plans, from which conditions and reminders are found.
	Statuses func() []reconciler.Status
	Now      func() time.Time
	Log      *slog.Logger
	// Registerer of the metrics; nil: none.
	Registerer prometheus.Registerer

	Interval time.Duration // between looks at the statuses; 15s where zero
	Refresh  time.Duration // between tellings of what still holds; 1m where zero
	Deadline time.Duration // of one attempt; 10s where zero
	// Attempts come after RetryFirst (1s), then ever later up to RetryMost (2m),
	// until GiveUp (1h).
	RetryFirst, RetryMost, GiveUp time.Duration
}

func (o *Options) defaults() {
	for d, v := range map[*time.Duration]time.Duration{
		&o.Interval: 15 * time.Second, &o.Refresh: time.Minute, &o.Deadline: 10 * time.Second,
		&o.RetryFirst: time.Second, &o.RetryMost: 2 * time.Minute, &o.GiveUp: time.Hour,
	} {
		if *d == 0 {
			*d = v
		}
	}
}

// maxSecret bounds a file with a URL or a token, in bytes.
const maxSecret = 16 << 10

// secret reads a file anew at each use, so that it may be rotated.
func secret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	switch s := strings.TrimSpace(string(b)); {
	case len(b) > maxSecret:
		return "", fmt.Errorf("%q is larger than %d bytes", path, maxSecret)
	case s == "":
		return "", fmt.Errorf("%q is empty", path)
	case strings.ContainsAny(s, "\r\n"):
		return "", fmt.Errorf("%q has more than one line", path)
	default:
		return s, nil
	}
}

// CheckURL says what is wrong with a receiver's URL, without repeating it.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the URL is none: want https://HOST/PATH")
	case u.User != nil:
		return errors.New("the URL holds a user or a password: give a token-file, or keep the whole URL in a url-file")
	}
	return nil
}

func (r Receiver) endpoint() (string, error) {
	s := r.URL
	if r.URLFile != "" {
		var err error
		if s, err = secret(r.URLFile); err != nil {
			return "", fmt.Errorf("read the URL: %w", err)
		}
		if err := CheckURL(s); err != nil {
			return "", fmt.Errorf("%q: %w", r.URLFile, err)
		}
	}
	if r.Kind == Alertmanager {
		s = strings.TrimRight(s, "/") + "/api/v2/alerts"
	}
	return s, nil
}
