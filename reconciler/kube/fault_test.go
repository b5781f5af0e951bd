package kube

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// converge tries like the loop does, until a stop is brought about.
func (r *rig) converge(text string) {
	r.Helper()
	d := r.want(text)
	var err error
	r.eventually("it converges", func() bool {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		if err = r.c.Expand(ctx, d); err != nil {
			return false
		}
		var ok bool
		if ok, _, err = r.c.Healthy(ctx, d); err != nil || !ok {
			return false
		}
		if err = r.c.Contract(ctx, d); err != nil {
			return false
		}
		st, oerr := r.c.Observe(ctx, d)
		err = oerr
		return err == nil && st.InSync && st.Healthy
	}, func() string {
		if err == nil {
			return "no error"
		}
		return err.Error()
	})
}

func TestFaultsBetweenAreSaidAndOutlived(t *testing.T) {
	k := kubetest.Shared(t)
	for want, f := range map[string]kubetest.Fault{
		"the API server has too much to do (429); it is tried again": {Code: http.StatusTooManyRequests},
		"the API server failed (500 InternalError)":                  {Code: http.StatusInternalServerError},
		"the API server failed (503 ServiceUnavailable)":             {Code: http.StatusServiceUnavailable},
		"does not accept the credentials":                            {Code: http.StatusUnauthorized},
		"changed by someone else meanwhile":                          {Code: http.StatusConflict},
		"did not answer in time":                                     {Code: http.StatusGatewayTimeout},
		"the API server cannot be reached":                           {},
		"cannot be reached":                                          {AnswerLost: true},
	} {
		t.Run(want, func(t *testing.T) {
			proxy := k.Proxy(t, "")
			r := setupOn(t, k, proxy.Kubeconfig)
			r.watch()
			text := web + "\n---\n" + settings + "\n---\n" + configMap("former")
			r.bring(r.want(text))
			next := strings.ReplaceAll(web, "web:1", "web:2") + "\n---\n" + strings.Replace(settings, "mode: a", "mode: b", 1)
			f.Method = http.MethodPatch
			i := proxy.Inject(f)
			says(t, r.c.Expand(r.ctx(), r.want(next)), want)
			i.Lift()
			f.Times = 2
			proxy.Inject(f)
			f.Method = http.MethodDelete
			proxy.Inject(f)
			f.Method = http.MethodGet
			proxy.Inject(f)
			r.converge(next)
			if r.get("ConfigMap/former") != nil || len(r.listed()) != 2 {
				t.Errorf("left over: %v", r.listed())
			}
		})
	}
}

func TestAServerThatAsksToWaitIsWaitedFor(t *testing.T) {
	k := kubetest.Shared(t)
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	i := proxy.Inject(kubetest.Fault{Method: http.MethodPatch, Code: http.StatusTooManyRequests, RetryAfter: time.Second, Times: 1})
	r.expand(r.want(settings))
	if i.Struck() != 1 {
		t.Errorf("struck %d times", i.Struck())
	}
}

func TestASilentServerIsGivenUpAtTheDeadline(t *testing.T) {
	k := kubetest.Shared(t)
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	r.bring(r.want(settings))
	i := proxy.Inject(kubetest.Fault{Delay: 3 * time.Second, Code: http.StatusOK})
	defer i.Lift()
	d := r.want(many(40))
	for name, call := range map[string]func(context.Context) error{
		"Expand":   func(ctx context.Context) error { return r.c.Expand(ctx, d) },
		"Contract": func(ctx context.Context) error { return r.c.Contract(ctx, d) },
		"Healthy":  func(ctx context.Context) error { _, _, err := r.c.Healthy(ctx, r.want(web)); return err },
		"Observe":  func(ctx context.Context) error { _, err := r.c.Observe(ctx, d); return err },
		"Mark":     func(ctx context.Context) error { _, err := r.c.Mark(ctx, r.key); return err },
		"SetMark":  func(ctx context.Context) error { return r.c.SetMark(ctx, d) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		begun := time.Now()
		err := call(ctx)
		cancel()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s took %s", name, took)
		}
		says(t, err, "did not answer in time")
		if n := strings.Count(err.Error(), "did not answer"); n > parallel {
			t.Errorf("%s says so %d times: %v", name, n, err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.c.Expand(done, d); err == nil {
		t.Error("nothing was done, and no error says so")
	}
	if _, err := r.c.Observe(done, d); err == nil {
		t.Error("nothing was read, and no error says so")
	}
}

func TestAfterNoAnswerTheRestIsNotTried(t *testing.T) {
	k := kubetest.Shared(t)
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	i := proxy.Inject(kubetest.Fault{Method: http.MethodPatch})
	err := r.c.Expand(r.ctx(), r.want(many(40)))
	says(t, err, "cannot be reached")
	if n := strings.Count(err.Error(), "cannot be reached"); n > parallel || i.Struck() > 2*parallel {
		t.Errorf("%d errors after %d tries", n, i.Struck())
	}
}

func TestWhatWasNotTriedIsNoSuccess(t *testing.T) {
	list := make([]int, 20)
	ctx, cancel := context.WithCancel(t.Context())
	var done atomic.Int64
	errs := each(ctx, slog.New(slog.DiscardHandler), list, func(context.Context, int) error {
		if done.Add(1) == parallel {
			cancel() // between two of them: none of those that run notices
		}
		return nil
	})
	if done.Load() == 20 {
		t.Fatal("all were done")
	}
	if joined(errs) == nil {
		t.Error("no error, though some were not tried")
	}
	errs = each(t.Context(), slog.New(slog.DiscardHandler), list[:1], func(context.Context, int) error { panic("ouch") })
	says(t, joined(errs), "panic: ouch")
}

func TestAServerThatIsKilledInMidApply(t *testing.T) {
	k := kubetest.Start(t, cluster.Options{})
	proxy := k.Proxy(t, "")
	r := setupOn(t, k, proxy.Kubeconfig)
	r.watch()
	first := many(30) + "\n---\n" + strings.ReplaceAll(widgetKind+"\n---\n"+widget, "KIND", r.ns)
	second := configMap("many-03") + "\n---\n" + many2(40)
	var killed atomic.Int64
	kill := func(after int64, method string) {
		killed.Store(0)
		gone := make(chan struct{})
		i := proxy.Inject(kubetest.Fault{Method: method, Code: http.StatusOK, Match: func(*http.Request) bool {
			if killed.Add(1) == after {
				k.KillAPIServer()
				close(gone)
			}
			return false
		}})
		defer i.Lift()
		for round := range 20 {
			d := r.want([]string{first, second}[round%2])
			d.MaxPrune = 100
			_ = r.c.Expand(r.ctx(), d)
			_ = r.c.Contract(r.ctx(), d)
			select {
			case <-gone:
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				if _, err := r.c.Observe(ctx, d); err == nil {
					t.Error("a dead server was observed")
				} else {
					says(t, err, "the API server")
				}
				cancel()
				must(t, k.StartAPIServer(r.ctx()))
				return
			default:
			}
		}
		t.Fatalf("%d %s were not enough", after, method)
	}
	for _, c := range []struct {
		after  int64
		method string
	}{{11, http.MethodPatch}, {6, http.MethodDelete}, {1, http.MethodPut}} {
		kill(c.after, c.method)
		r.convergeMany(second)
		r.renew() // the next kill finds a process that knows nothing, and no watches
		r.convergeMany(first)
		r.convergeMany(second)
		if n := strings.Count(r.kubectl("get", "configmaps", "-oname"), "/many-"); n != 1 {
			t.Errorf("%d of the first are left", n)
		}
		if n := strings.Count(r.kubectl("get", "configmaps", "-oname"), "/more-"); n != 40 {
			t.Errorf("%d of the second", n)
		}
		// A definition that was deleted is listed until it is gone.
		r.eventually("nothing is left over", func() bool { r.convergeMany(second); return len(r.listed()) == 41 })
		r.convergeMany(settings)
	}
}

// convergeMany is converge for a stop that may delete much.
func (r *rig) convergeMany(text string) {
	r.Helper()
	d := r.want(text)
	d.MaxPrune = 100
	r.eventually("it converges", func() bool {
		if r.c.Expand(r.ctx(), d) != nil {
			return false
		}
		ok, _, err := r.c.Healthy(r.ctx(), d)
		return err == nil && ok && r.c.Contract(r.ctx(), d) == nil
	})
	if st := r.observe(d); !st.InSync {
		r.Errorf("%+v", st)
	}
}

func many2(n int) string { return strings.ReplaceAll(many(n), "many-", "more-") }
