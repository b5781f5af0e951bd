package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/reconciler/kube/lease"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asCandidate) != "" {
		os.Exit(candidate())
	}
	os.Exit(kubetest.Main(m, cluster.Options{}))
}

// duration is that of leases in these tests.
const duration = 3 * time.Second

// contender is a candidate whose work is to wait.
type contender struct {
	*lease.Lease
	leads chan context.Context // what lead was called with
	end   chan error           // ends the work
	done  chan error           // what Run returned
	stop  context.CancelFunc   // ends the context of Run
}

// contend starts a candidate that reaches the API server as the kubeconfig says.
func contend(t *testing.T, kubeconfig, namespace, identity string, log *slog.Logger) *contender {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	config, err := kubetest.ReadKubeconfig(kubeconfig)
	must(t, err)
	l, err := lease.New(lease.Options{Config: config, Namespace: namespace, Name: "changeover", Identity: identity, Duration: duration, Log: log})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	c := &contender{Lease: l, leads: make(chan context.Context, 1), end: make(chan error), done: make(chan error, 1), stop: stop}
	go func() {
		c.done <- l.Run(ctx, func(ctx context.Context) error {
			c.leads <- ctx
			select {
			case err := <-c.end:
				return err
			case <-ctx.Done():
				return nil
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		select {
		case c.end <- nil:
		case <-c.done:
		case <-time.After(10 * time.Second):
			t.Errorf("%s did not end", identity)
		}
	})
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within waits for a value.
func within[T any](t *testing.T, what string, d time.Duration, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(d):
		t.Fatalf("%s: not within %s", what, d)
		panic("unreachable")
	}
}

const patience = 30 * time.Second

func TestOneLeadsAndTheOtherTakesOverWhenItEnds(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	a := contend(t, k.Kubeconfig, ns, "a", nil)
	within(t, "the first leads", patience, a.leads)
	must(t, a.Fence())
	b := contend(t, k.Kubeconfig, ns, "b", nil)
	kubetest.WaitFor(t, "the second knows who leads", func() bool { return b.Holder() == a.Identity() })
	if err := b.Fence(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("held by %q", a.Identity())) {
		t.Errorf("the fence of one that waits: %v", err)
	}
	select {
	case <-b.leads:
		t.Fatal("both lead")
	case <-time.After(2 * duration): // renewed meanwhile
	}
	must(t, a.Fence())

	broken := errors.New("broken")
	begun := time.Now()
	a.end <- broken
	within(t, "the second leads", patience, b.leads)
	took := time.Since(begun)
	t.Logf("taken over %s after a clean end", took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("it took %s to take over a lease that was given up", took)
	}
	if err := within(t, "Run returns", patience, a.done); !errors.Is(err, broken) {
		t.Errorf("Run returned %v, want what lead returned", err)
	}
	a.done <- nil // for the cleanup
	if a.Fence() == nil {
		t.Error("the fence lets through after the end")
	}
	must(t, b.Fence())
}

func TestTheLeaseIsKeptUntilTheWorkHasEnded(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	config, err := kubetest.ReadKubeconfig(k.Kubeconfig)
	must(t, err)
	l, err := lease.New(lease.Options{Config: config, Namespace: ns, Name: "changeover", Identity: "a", Duration: duration})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	leads, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- l.Run(ctx, func(ctx context.Context) error {
			close(leads)
			<-ctx.Done() // told to end, and not done yet
			<-finish
			return nil
		})
	}()
	within(t, "it leads", patience, leads)
	b := contend(t, k.Kubeconfig, ns, "b", nil)
	stop()
	select {
	case <-b.leads:
		t.Fatal("another leads while the first has not ended")
	case <-time.After(2 * duration):
	}
	must(t, l.Fence())
	close(finish)
	within(t, "the other leads", time.Second, b.leads)
	must(t, within(t, "Run returns", patience, done))
}

func TestOneThatWaitsEndsWithoutWork(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	a := contend(t, k.Kubeconfig, ns, "a", nil)
	within(t, "the first leads", patience, a.leads)
	b := contend(t, k.Kubeconfig, ns, "b", nil)
	kubetest.WaitFor(t, "the second waits", func() bool { return b.Holder() != "" })
	b.stop()
	must(t, within(t, "Run returns", patience, b.done))
	b.done <- nil
	if a.Fence() != nil || a.Holder() != a.Identity() {
		t.Errorf("the first does not lead any more: %v", a.Fence())
	}
}

func TestALeaderThatFallsSilentIsFollowedWithinTheLease(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	for _, how := range []struct {
		name  string
		fault kubetest.Fault
	}{
		{"nothing answers", kubetest.Fault{Delay: 2 * duration}},
		{"connections are reset", kubetest.Fault{}},
		{"the API server fails", kubetest.Fault{Code: 500}},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			ns, proxy := k.Namespace(t), k.Proxy(t, "")
			a := contend(t, proxy.Kubeconfig, ns, "a", nil)
			leading := within(t, "the first leads", patience, a.leads)
			b := contend(t, k.Kubeconfig, ns, "b", nil)
			kubetest.WaitFor(t, "the second waits", func() bool { return b.Holder() == a.Identity() })

			proxy.Inject(how.fault)
			begun := time.Now()
			for a.Fence() == nil {
				time.Sleep(5 * time.Millisecond)
			}
			fenced := time.Since(begun)
			within(t, "the second leads", patience, b.leads)
			took := time.Since(begun)
			t.Logf("fenced after %s, taken over after %s", fenced.Round(time.Millisecond), took.Round(time.Millisecond))
			if fenced > duration*2/3+500*time.Millisecond { // the fence is asked every 5 ms
				t.Errorf("the fence let through for %s after the last renewal", fenced)
			}
			// Each look lies at most 2.2 times 100 ms after the one before.
			if most := duration + time.Second; took > most {
				t.Errorf("taken over after %s, want at most %s", took, most)
			}
			within(t, "the work is told to end", patience, leading.Done())
			if cause := context.Cause(leading); !errors.Is(cause, lease.ErrLost) {
				t.Errorf("the work is told %v", cause)
			}
			err := within(t, "Run returns", patience, a.done)
			a.done <- nil
			if !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), "was not renewed in time: the API server") {
				t.Errorf("Run returned %v", err)
			}
		})
	}
}

func TestALeaseThatSomebodyElseTookIsLostAtOnce(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	a := contend(t, k.Kubeconfig, ns, "a", nil)
	leading := within(t, "it leads", patience, a.leads)
	fence := make(chan error, 1)
	context.AfterFunc(leading, func() { fence <- a.Fence() })
	begun := time.Now()
	k.Kubectl(t, "patch", "lease", "changeover", "--namespace="+ns, "--type=merge", `--patch={"spec":{"holderIdentity":"somebody"}}`)
	err := within(t, "the fence when the work is told to end", duration, fence)
	took := time.Since(begun)
	t.Logf("noticed after %s", took.Round(time.Millisecond))
	if most := duration/5 + time.Second; took > most { // at the next renewal, not when that has failed for long
		t.Errorf("noticed after %s, want at most %s", took, most)
	}
	if err == nil || !strings.Contains(err.Error(), `held by "somebody"`) {
		t.Errorf("the fence when the work is told to end: %v", err)
	}
	err = within(t, "Run returns", patience, a.done)
	a.done <- nil
	if !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), `held by "somebody"`) {
		t.Errorf("Run returned %v", err)
	}
	if held, _, _ := unstructured.NestedString(k.Get(t, "Lease.coordination.k8s.io", ns, "changeover").Object, "spec", "holderIdentity"); held != "somebody" {
		t.Errorf("the lease is now held by %q: a lease that was lost is not given up", held)
	}
}

func TestALeaderRenewsNoMoreThanItNeedsTo(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns, proxy := k.Namespace(t), k.Proxy(t, "")
	a := contend(t, proxy.Kubeconfig, ns, "a", nil)
	within(t, "it leads", patience, a.leads)
	passed := proxy.Inject(kubetest.Fault{Code: 200}) // counts
	time.Sleep(2 * duration)
	n := passed.Struck()
	t.Logf("%d requests in %s", n, 2*duration)
	if n < 5 || n > 11 {
		t.Errorf("%d requests in two lease durations, want one for each fifth", n)
	}
}

func TestAnAnswerThatGotLostCostsNothing(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns, proxy := k.Namespace(t), k.Proxy(t, "")
	a := contend(t, proxy.Kubeconfig, ns, "a", nil)
	leading := within(t, "it leads", patience, a.leads)
	fault := proxy.Inject(kubetest.Fault{Method: "PUT", AnswerLost: true, Times: 1})
	kubetest.WaitFor(t, "a renewal's answer is lost", func() bool { return fault.Struck() == 1 })
	select {
	case <-leading.Done():
		t.Errorf("the lease was lost: %v", context.Cause(leading))
	case <-time.After(2 * duration):
	}
	must(t, a.Fence())
}

func TestAMissingPermissionIsNamed(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	rules := map[string]string{
		"get":    `{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, update]}`,
		"create": `{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, update]}`,
		"update": `{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create]}`,
	}
	for verb, rule := range rules {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			ns := k.Namespace(t)
			account := k.Account(t, ns, "candidate")
			if verb == "update" { // one that was given up is there already
				k.Apply(t, ns, `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: changeover}, spec: {leaseDurationSeconds: 1}}`)
			}
			k.Apply(t, ns, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: candidate}, rules: [`+rule+`]}`)
			k.Apply(t, ns, `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: candidate},
				roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: candidate}, subjects: [{kind: ServiceAccount, name: candidate, namespace: `+ns+`}]}`)
			// The API server learns of roles by a watch: until then all is missing.
			granted := map[bool]string{true: "update", false: "get"}[verb == "get"]
			kubetest.WaitFor(t, "the role counts", func() bool {
				out, err := k.RunKubectl("", "--kubeconfig="+account.Kubeconfig, "auth", "can-i", granted, "leases.coordination.k8s.io", "--namespace="+ns)
				return err == nil && strings.TrimSpace(out) == "yes"
			})
			var said text
			c := contend(t, account.Kubeconfig, ns, "a", slog.New(slog.NewTextHandler(&said, nil)))
			want := fmt.Sprintf("permission is missing: User %q cannot %s resource %q", account.User, verb, "leases")
			kubetest.WaitFor(t, "the fence names the permission", func() bool {
				err := c.Fence()
				return err != nil && strings.Contains(err.Error(), want)
			})
			time.Sleep(time.Second) // several tries
			if log := said.String(); strings.Count(log, "permission is missing") != 1 || !strings.Contains(log, "cannot "+verb) {
				t.Errorf("want it said once, got:\n%s", log)
			}
		})
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	config, err := kubetest.ReadKubeconfig(kubetest.Shared(t).Kubeconfig)
	must(t, err)
	good := lease.Options{Config: config, Namespace: "n", Name: "changeover", Identity: "a"}
	for name, change := range map[string]func(*lease.Options){
		"no API server":   func(o *lease.Options) { o.Config = nil },
		"no namespace":    func(o *lease.Options) { o.Namespace = "" },
		"no name":         func(o *lease.Options) { o.Name = "" },
		"no identity":     func(o *lease.Options) { o.Identity = "" },
		"too short":       func(o *lease.Options) { o.Duration = 2 * time.Second },
		"no whole second": func(o *lease.Options) { o.Duration = 3500 * time.Millisecond },
	} {
		o := good
		change(&o)
		if _, err := lease.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	a, err := lease.New(good)
	must(t, err)
	b, err := lease.New(good)
	must(t, err)
	if a.Identity() == b.Identity() {
		t.Error("two processes have one identity: each would take the other's lease for its own")
	}
}

// text is a log that is read while it is written.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func TestWorkThatDoesNotEndDoesNotKeepALostProcess(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	config, err := kubetest.ReadKubeconfig(k.Kubeconfig)
	must(t, err)
	l, err := lease.New(lease.Options{Config: config, Namespace: ns, Name: "changeover", Identity: "a", Duration: duration, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	leads, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	defer close(finish)
	go func() {
		done <- l.Run(t.Context(), func(context.Context) error {
			close(leads)
			<-finish
			return nil
		})
	}()
	within(t, "it leads", patience, leads)
	k.Kubectl(t, "patch", "lease", "changeover", "--namespace="+ns, "--type=merge", `--patch={"spec":{"holderIdentity":"somebody"}}`)
	err = within(t, "Run returns", 3*duration, done)
	if !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), "has not ended within 3s") {
		t.Errorf("Run returned %v", err)
	}
}
