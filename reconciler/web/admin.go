package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Bounds of the admin API.
const (
	maxBody        = 64 << 10 // bytes of a request
	maxReason      = 1000     // runes of a rollback's reason
	defaultHistory = 20
	maxHistory     = 1000
	adminDeadline  = 15 * time.Second
	// A rollback answers when the traffic was tried.
	rollbackDeadline = 100 * time.Second
)

// RollbackRequest is the body of POST /v1/plans/{namespace}/{name}/rollback.
type RollbackRequest struct {
	// To is PHASE or PHASE@PERCENT; empty: what the newest raise replaced.
	To string `json:"to,omitempty"`
	// Reason is required: it goes into the commit.
	Reason string `json:"reason"`
}

// VersionResponse is the body of the answer to GET /v1/version.
type VersionResponse struct {
	Version string `json:"version"`
}

// ErrorResponse is the body of every answer that is not a success.
type ErrorResponse struct {
	Error string `json:"error"`
}

type admin struct {
	Options
}

// AdminHandler serves the admin API and pprof. It has no authentication of its
// own: serve it on a socket that only the daemon's user may open.
func AdminHandler(o Options) http.Handler {
	a := &admin{Options: o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		a.answer(w, http.StatusOK, VersionResponse{Version: o.Version})
	})
	mux.HandleFunc("GET /v1/plans", a.list)
	mux.HandleFunc("GET /v1/plans/{namespace}/{name}", a.one)
	mux.HandleFunc("GET /v1/plans/{namespace}/{name}/history", a.history)
	mux.HandleFunc("POST /v1/plans/{namespace}/{name}/rollback", a.rollback)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (a *admin) list(w http.ResponseWriter, _ *http.Request) {
	all := a.Plans.Statuses()
	if all == nil {
		if err := a.Plans.Ready(); errors.Is(err, reconciler.ErrStandby) || errors.Is(err, reconciler.ErrStarting) {
			a.refuse(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		all = []reconciler.Status{}
	}
	a.answer(w, http.StatusOK, all)
}

// known answers 404, or 503 while the daemon has not worked every plan yet
// and so cannot tell.
func (a *admin) known(w http.ResponseWriter, r *http.Request) (reconciler.Status, bool) {
	key := plan.Key{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	s, ok := a.Plans.Status(key)
	if ok {
		return s, true
	}
	switch err := a.Plans.Ready(); {
	case errors.Is(err, reconciler.ErrStandby):
		a.refuse(w, http.StatusServiceUnavailable, err.Error())
		return s, false
	case err != nil:
		a.refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("the daemon has only just started and does not know plan %q yet (%v); ask again in a moment", key, err))
		return s, false
	}
	a.refuse(w, http.StatusNotFound, fmt.Sprintf("the daemon has no plan %q; `changeover status` lists those it has", key))
	return s, false
}

func (a *admin) one(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.known(w, r); ok {
		a.answer(w, http.StatusOK, s)
	}
}

func (a *admin) history(w http.ResponseWriter, r *http.Request) {
	n := defaultHistory
	if q := r.URL.Query().Get("n"); q != "" {
		v, err := strconv.Atoi(q)
		if err != nil || v < 1 || v > maxHistory {
			a.refuse(w, http.StatusBadRequest, fmt.Sprintf("n must be a whole number from 1 to %d, not %q", maxHistory, q))
			return
		}
		n = v
	}
	s, ok := a.known(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminDeadline)
	defer cancel()
	entries, err := a.Plans.History(ctx, s.Key, n)
	if err != nil {
		a.refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	if entries == nil {
		entries = []reconciler.Entry{}
	}
	a.answer(w, http.StatusOK, entries)
}

func (a *admin) rollback(w http.ResponseWriter, r *http.Request) {
	var body RollbackRequest
	if code, err := readStrict(w, r, &body); err != nil {
		a.refuse(w, code, err.Error())
		return
	}
	to, err := body.check()
	if err != nil {
		a.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s, ok := a.known(w, r)
	if !ok {
		return
	}
	// A caller who hangs up must not leave a rollback half asked for.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), rollbackDeadline)
	defer cancel()
	after, err := a.Plans.RequestRollback(ctx, s.Key, to, body.Reason)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.refuse(w, http.StatusGatewayTimeout, fmt.Sprintf("the daemon took the request but did not finish it in %s; see `changeover status %s`", rollbackDeadline, s.Key))
	case errors.Is(err, reconciler.ErrUnknownPlan):
		a.refuse(w, http.StatusNotFound, err.Error())
	case err != nil:
		a.refuse(w, http.StatusConflict, err.Error())
	default:
		a.answer(w, http.StatusAccepted, after)
	}
}

// check returns the target of a request that may be carried out.
func (b *RollbackRequest) check() (to plan.Position, err error) {
	if b.Reason, err = CheckReason(b.Reason); err != nil || b.To == "" {
		return plan.Position{}, err
	}
	return plan.ParsePosition(b.To)
}

// CheckReason trims a reason for a change. It must be one line, as it becomes
// part of a commit message, where a second line could pass for a trailer.
func CheckReason(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", errors.New("reason is missing: say in one line why")
	case utf8.RuneCountInString(s) > maxReason:
		return "", fmt.Errorf("reason is longer than %d characters", maxReason)
	case strings.ContainsFunc(s, unicode.IsControl), !utf8.ValidString(s):
		return "", errors.New("reason must be one line of text without control characters")
	}
	return s, nil
}

// readStrict decodes one JSON object: no unknown field, nothing after it, no
// more than maxBody bytes.
func readStrict(w http.ResponseWriter, r *http.Request, into any) (int, error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		_, err = d.Token()
		if errors.Is(err, io.EOF) {
			return http.StatusOK, nil
		}
		if err == nil {
			err = errors.New("something follows the JSON object")
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", large.Limit)
	}
	return http.StatusBadRequest, fmt.Errorf("read the body: %w; want a JSON object with reason and, if need be, to", err)
}

func (a *admin) refuse(w http.ResponseWriter, code int, message string) {
	a.answer(w, code, ErrorResponse{Error: message})
}

func (a *admin) answer(w http.ResponseWriter, code int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		a.log().Error("encode answer failed", "error", err)
		code, b = http.StatusInternalServerError, []byte(`{"error":"the answer could not be encoded; the daemon's log says why"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
}
