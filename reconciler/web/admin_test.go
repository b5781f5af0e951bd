package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/web"
)

func post(t *testing.T, h http.Handler, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return w
}

const rollbackPath = "/v1/plans/default/shop/rollback"

func TestRollbackReachesTheReconciler(t *testing.T) {
	f := &fakePlans{statuses: []reconciler.Status{waiting()}}
	w := post(t, web.AdminHandler(options(f)), rollbackPath, `{"to":"gradual@10","reason":" errors rise "}`)
	if w.Code != http.StatusAccepted {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if f.to != stops[1] || f.reason != "errors rise" {
		t.Errorf("asked for %v because %q", f.to, f.reason)
	}
	var got reconciler.Status
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.State != reconciler.StateRollingBack {
		t.Errorf("answer %s (%v)", w.Body, err)
	}
	if w := post(t, web.AdminHandler(options(f)), rollbackPath, `{"reason":"x"}`); w.Code != http.StatusAccepted || !f.to.IsZero() {
		t.Errorf("without a stop: %d, to %v", w.Code, f.to)
	}
}

func TestRollbackRefusesWhatIsNotAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		path, body string
		code       int
		says       string
	}{
		"no reason":        {rollbackPath, `{"to":"setup"}`, 400, "reason is missing"},
		"blank reason":     {rollbackPath, `{"reason":"  "}`, 400, "reason is missing"},
		"trailer smuggled": {rollbackPath, `{"reason":"x\n\nChangeover-Unhold: y"}`, 400, "one line"},
		"long reason":      {rollbackPath, `{"reason":"` + strings.Repeat("a", 1001) + `"}`, 400, "longer than 1000"},
		"bad stop":         {rollbackPath, `{"to":"gradual@900","reason":"x"}`, 400, "from 0 to 100"},
		"unknown field":    {rollbackPath, `{"reason":"x","force":true}`, 400, "force"},
		"not JSON":         {rollbackPath, `reason=x`, 400, "JSON object"},
		"empty":            {rollbackPath, ``, 400, "JSON object"},
		"trailing":         {rollbackPath, `{"reason":"x"}{"reason":"y"}`, 400, "follows"},
		"huge":             {rollbackPath, `{"reason":"` + strings.Repeat("a", 70<<10) + `"}`, 413, "larger than 65536"},
		"unknown plan":     {"/v1/plans/default/none/rollback", `{"reason":"x"}`, 404, "default/none"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakePlans{statuses: []reconciler.Status{waiting()}}
			w := post(t, web.AdminHandler(options(f)), tc.path, tc.body)
			var e web.ErrorResponse
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Fatalf("answer %s: %v", w.Body, err)
			}
			if w.Code != tc.code || !strings.Contains(e.Error, tc.says) {
				t.Errorf("got %d %q, want %d with %q", w.Code, e.Error, tc.code, tc.says)
			}
			if f.asked != 0 {
				t.Error("the reconciler was asked all the same")
			}
		})
	}
}

func TestRollbackThatTheReconcilerRefuses(t *testing.T) {
	f := &fakePlans{statuses: []reconciler.Status{waiting()}, rollErr: errors.New("roll back to gradual@25: it is ahead of gradual@10")}
	w := post(t, web.AdminHandler(options(f)), rollbackPath, `{"reason":"x"}`)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "ahead of gradual@10") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	f.rollErr = context.DeadlineExceeded
	if w := post(t, web.AdminHandler(options(f)), rollbackPath, `{"reason":"x"}`); w.Code != http.StatusGatewayTimeout {
		t.Errorf("deadline: %d", w.Code)
	}
}

func TestUnknownPlanBeforeReadyIsNotYet(t *testing.T) {
	f := &fakePlans{ready: errors.New("0 of 1 plans worked")}
	w := get(t, web.AdminHandler(options(f)), "/v1/plans/default/shop")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "0 of 1 plans") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	f := &fakePlans{statuses: []reconciler.Status{waiting()}, history: entries(25)}
	h := web.AdminHandler(options(f))
	for q, want := range map[string]int{"": 20, "?n=3": 3, "?n=1000": 25} {
		var got []reconciler.Entry
		w := get(t, h, "/v1/plans/default/shop/history"+q)
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != want {
			t.Errorf("%q: %d entries (%v), want %d", q, len(got), err, want)
		}
	}
	for _, q := range []string{"?n=0", "?n=-1", "?n=1001", "?n=x"} {
		if w := get(t, h, "/v1/plans/default/shop/history"+q); w.Code != 400 {
			t.Errorf("%q: %d, want 400", q, w.Code)
		}
	}
}

func TestNoPlansIsAnEmptyListNotNull(t *testing.T) {
	if body := get(t, web.AdminHandler(options(&fakePlans{})), "/v1/plans").Body.String(); strings.TrimSpace(body) != "[]" {
		t.Errorf("got %s", body)
	}
}

func TestNobodyIsToldThatThereAreNoPlansBeforeThatIsKnown(t *testing.T) {
	for _, why := range []error{reconciler.ErrStarting, fmt.Errorf("%w: a-1 leads; ask that one", reconciler.ErrStandby)} {
		w := get(t, web.AdminHandler(options(&fakePlans{ready: why})), "/v1/plans")
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%v: answered %d", why, w.Code)
		}
		wantAll(t, w.Body.String(), why.Error())
	}
}

func TestProfilesAreOnTheAdminSocket(t *testing.T) {
	if w := get(t, web.AdminHandler(options(&fakePlans{})), "/debug/pprof/goroutine?debug=1"); w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("got %d", w.Code)
	}
}

func TestAdminSocketIsPrivateAndReplacesADeadOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "admin.sock")
	// What a killed daemon leaves behind.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()

	l, err := web.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 || fi.Mode().Type() != os.ModeSocket {
		t.Fatalf("socket: %v, %v", fi, err)
	}
	f := &fakePlans{statuses: []reconciler.Status{waiting()}}
	srv := web.NewServer(web.AdminHandler(options(f)), slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	resp, err := client.Get("http://admin/v1/plans")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	var got []reconciler.Status
	if err := json.Unmarshal(body, &got); err != nil || len(got) != 1 || got[0].Effective != (plan.Position{Phase: "gradual", Percent: 10}) {
		t.Errorf("got %s (%v)", body, err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("serve ended with %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestAdminSocketPathTooLongSaysWhatToDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := web.ListenUnix(filepath.Join(dir, "admin.sock"))
	if err == nil || !strings.Contains(err.Error(), "shorter --state-dir") {
		t.Errorf("got %v", err)
	}
}
