package lease_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/kube/lease"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// asCandidate makes this binary a daemon whose effect is a line in a file:
// KUBECONFIG NAMESPACE IDENTITY FILE.
const asCandidate = "CHANGEOVER_TEST_CANDIDATE"

func candidate() int {
	args := strings.Fields(os.Getenv(asCandidate))
	config, err := kubetest.ReadKubeconfig(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	f, err := os.OpenFile(args[3], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l, err := lease.New(lease.Options{Config: config, Namespace: args[1], Name: "changeover", Identity: args[2], Duration: duration})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = l.Run(context.Background(), func(ctx context.Context) error {
		for ctx.Err() == nil {
			if l.Fence() == nil {
				fmt.Fprintf(f, "%s %d\n", args[2], time.Now().UnixNano())
			}
			time.Sleep(2 * time.Millisecond)
		}
		return nil
	})
	fmt.Fprintln(os.Stderr, err)
	return 3
}

// process is a candidate in a process of its own.
type process struct {
	*os.Process
	file  string
	ended <-chan struct{}
	state func() *os.ProcessState
}

func start(t *testing.T, kubeconfig, namespace, identity string) *process {
	t.Helper()
	p := &process{file: filepath.Join(t.TempDir(), identity)}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asCandidate+"="+strings.Join([]string{kubeconfig, namespace, identity, p.file}, " "))
	cmd.Stderr = os.Stderr
	var err error
	p.ended, err = child.Start(cmd, syscall.SIGKILL)
	must(t, err)
	p.Process, p.state = cmd.Process, func() *os.ProcessState { return cmd.ProcessState }
	t.Cleanup(func() {
		_ = p.Kill() // it may have ended
		<-p.ended
	})
	return p
}

// effects are the moments of its effects.
func (p *process) effects(t *testing.T) (at []time.Time) {
	t.Helper()
	f, err := os.Open(p.file)
	if os.IsNotExist(err) {
		return nil
	}
	must(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var who string
		var ns int64
		if _, err := fmt.Sscanf(s.Text(), "%s %d", &who, &ns); err == nil {
			at = append(at, time.Unix(0, ns))
		}
	}
	return at
}

func TestAKilledLeaderIsFollowedWithinTheLease(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	a := start(t, k.Kubeconfig, ns, "a")
	kubetest.WaitFor(t, "the first leads", func() bool { return len(a.effects(t)) > 100 })
	b := start(t, k.Kubeconfig, ns, "b")
	time.Sleep(duration) // it has seen several renewals
	begun := time.Now()
	must(t, a.Signal(syscall.SIGKILL))
	<-a.ended
	kubetest.WaitFor(t, "the second leads", func() bool { return len(b.effects(t)) > 0 })
	took := b.effects(t)[0].Sub(begun)
	t.Logf("taken over %s after SIGKILL", took.Round(time.Millisecond))
	if most := duration + time.Second; took > most {
		t.Errorf("taken over after %s, want at most %s", took, most)
	}
	all := a.effects(t)
	if last := all[len(all)-1]; !last.Before(b.effects(t)[0]) {
		t.Error("effects of both overlap")
	}
}

func TestAStoppedLeaderDoesNothingWhenItGoesOn(t *testing.T) {
	t.Parallel()
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	a := start(t, k.Kubeconfig, ns, "a")
	kubetest.WaitFor(t, "the first leads", func() bool { return len(a.effects(t)) > 100 })
	b := start(t, k.Kubeconfig, ns, "b")
	time.Sleep(duration)
	must(t, a.Signal(syscall.SIGSTOP))
	stopped := time.Now()
	kubetest.WaitFor(t, "the second leads", func() bool { return len(b.effects(t)) > 100 })
	must(t, a.Signal(syscall.SIGCONT))
	within(t, "the first ends", patience, a.ended)
	if code := a.state().ExitCode(); code != 3 {
		t.Errorf("it ended with %d", code)
	}
	for _, at := range a.effects(t) {
		if at.After(stopped.Add(duration / 3)) {
			t.Fatalf("an effect %s after it was stopped, when another leads", at.Sub(stopped))
		}
	}
}
