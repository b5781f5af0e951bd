package record

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	journal "github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/test/fakes"
)

// childEnv makes the test binary a daemon that saves without pause; its value
// is the plan's namespace.
const childEnv = "CHANGEOVER_RECORD_CHILD"

// saveForever says each serial once it was saved.
func saveForever() {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	inner, err := journal.Open(os.Getenv("CHANGEOVER_RECORD_DIR"))
	die(err)
	config, err := client.Load(os.Getenv("KUBECONFIG"), "")
	die(err)
	c, err := client.New(client.Options{Config: config, QPS: -1})
	die(err)
	r, err := New(Options{Inner: inner, Client: c, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Now: time.Now})
	die(err)
	key := plan.Key{Namespace: os.Getenv(childEnv), Name: "onap-so"}
	rec, _, err := r.Load(ctx, key)
	die(err)
	for n := rec.Serial + 1; ; n++ {
		die(r.Save(ctx, key, numbered(n)))
		fmt.Println(n)
	}
}

// TestKillLeavesWhatWasSavedInBoth kills a daemon that saves without pause:
// journal and cluster have the last record whose Save returned, or a later one,
// each by itself.
func TestKillLeavesWhatWasSavedInBoth(t *testing.T) {
	t.Parallel()
	k := install(t)
	key := plan.Key{Namespace: k.Namespace(t), Name: "onap-so"}
	seed := startWith(t, k.Config, &fakes.Recorder{})
	must(t, seed.SaveStatus(t.Context(), steady(t, key)))
	must(t, seed.Save(t.Context(), key, numbered(1)))
	dir := t.TempDir()
	for round := range 10 {
		if round == 5 {
			dir = t.TempDir() // the disk is lost
		}
		last := killed(t, k.Kubeconfig, dir, key.Namespace)
		for name, d := range map[string]*daemon{
			"cluster": startWith(t, k.Config, &fakes.Recorder{}), "both": startWith(t, k.Config, open(t, dir)),
		} {
			rec, ok, err := d.Load(t.Context(), key)
			if err != nil || !ok || rec.Serial < last || rec.Serial > last+1 || len(rec.Changes) != 1 {
				t.Errorf("round %d: %s: serial %d, ok %v, error %v, want %d or one more", round, name, rec.Serial, ok, err, last)
			}
			if inner, ok := d.o.Inner.(*journal.Dir); ok {
				must(t, inner.Close())
			}
		}
	}
}

// killed runs the daemon for a moment and returns the last serial that it said.
func killed(t *testing.T, kubeconfig, dir, namespace string) int64 {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+namespace, "CHANGEOVER_RECORD_DIR="+dir, "KUBECONFIG="+kubeconfig)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := bufio.NewScanner(out)
	if !said.Scan() {
		t.Fatalf("the daemon said nothing: %v", cmd.Wait())
	}
	last := said.Text()
	time.AfterFunc(time.Duration(rand.IntN(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	for said.Scan() {
		last = said.Text()
	}
	_ = cmd.Wait() // it was killed
	n, err := strconv.ParseInt(last, 10, 64)
	must(t, err)
	return n
}
