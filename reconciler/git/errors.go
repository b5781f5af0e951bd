package git

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/changeover-dev/changeover/reconciler"
)

// authError is a failure to read or use the credentials.
type authError struct{ err error }

func (e *authError) Error() string { return e.err.Error() }

// noBranchError: the remote answers, but has no such branch.
type noBranchError struct{ branch string }

func (e *noBranchError) Error() string {
	return fmt.Sprintf("read branch: the remote has no branch %q; push it, or name another", e.branch)
}

// raced is the error of a push whose branch moved.
func raced(ref plumbing.ReferenceName, now plumbing.Hash) error {
	text := fmt.Sprintf("%s moved to %s meanwhile", ref.Short(), short(now))
	if now.IsZero() {
		text = ref.Short() + " is gone"
	}
	return &reconciler.RemoteError{Kind: reconciler.RemoteRace, Op: "push", Text: text}
}

func short(h plumbing.Hash) string { return h.String()[:10] }

// What remotes and go-git say, by kind. Measured with go-git v5.19.3 against
// git 2.39, and from the documentation of the forges.
var (
	raceWords = []string{
		"failed to update ref", "failed to lock", "cannot lock ref", "already exists", "non-fast-forward",
		"fetch first", "stale info", "incorrect old value",
	}
	refusedWords = []string{
		"hook declined", "protected branch", "deny updating", "prohibited", "is currently checked out",
		"command error on", "not allowed", "push declined", "pre-receive",
	}
	authWords = []string{
		"unable to authenticate", "handshake failed", "knownhosts:", "permission denied", "read only", "read-only",
		"access denied", "permission to", "denied to", "write access", "insufficient permission", "invalid auth method",
	}
)

// classify turns an error of an exchange into one with a kind. Its text is
// bounded and holds no secret.
func classify(op string, err error, secret string) error {
	var known *reconciler.RemoteError
	if errors.As(err, &known) {
		return err
	}
	e := &reconciler.RemoteError{Op: op, Kind: kindOf(err), Text: oneLine(redact(err.Error(), secret))}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Text, e.Cause = "the remote did not answer in time", context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		e.Text, e.Cause = "stopped", context.Canceled
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		e.Text = "the repository has no commits yet; push the branch first"
	case errors.Is(err, transport.ErrRepositoryNotFound):
		e.Text = "no repository there, or the credentials may not see it"
	case strings.Contains(e.Text, "dubious ownership"):
		e.Text = "git refuses a repository of another user; run as its owner or set safe.directory"
	case strings.Contains(e.Text, "knownhosts:"):
		e.Text += " (add the host's key to the known_hosts file)"
	}
	return e
}

func kindOf(err error) reconciler.RemoteKind {
	var auth *authError
	text := strings.ToLower(err.Error())
	has := func(words []string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, &auth), errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return reconciler.RemoteAuth
	case isContext(err):
		return reconciler.RemoteUnreachable
	case has(raceWords):
		return reconciler.RemoteRace
	case has(refusedWords):
		return reconciler.RemoteRefused
	case has(authWords):
		return reconciler.RemoteAuth
	}
	return reconciler.RemoteUnreachable
}

// isKind reports whether an error is of that kind.
func isKind(err error, kind reconciler.RemoteKind) bool {
	var e *reconciler.RemoteError
	return errors.As(err, &e) && e.Kind == kind
}

func redact(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, "[secret]")
}

// oneLine makes text fit for one line of a log or a trailer: no control
// characters, single spaces, bounded.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if len(s) > maxRemoteText {
		s = strings.ToValidUTF8(s[:maxRemoteText], "") + "..."
	}
	return s
}
