package sidelabel

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render/entity"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// childEnv makes the test binary a daemon that labels objects until it is killed; its
// value is a folder with plan.yaml and task.json.
const childEnv = "CHANGEOVER_SIDELABEL_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	os.Exit(kubetest.Main(m, cluster.Options{}))
}

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: networkintents.nephoran.com}
spec:
  group: nephoran.com
  scope: Namespaced
  names: {plural: networkintents, singular: networkintent, kind: NetworkIntent}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

var installed sync.Once

func install(t *testing.T) *kubetest.Kube {
	t.Helper()
	k := kubetest.Shared(t)
	installed.Do(func() { k.Apply(t, "", definition) })
	return k
}

// decoded is a plan of a text.
func decoded(text string) (*plan.Plan, error) {
	doc, problems := plan.Decode("plan.yaml", []byte(text))
	if problems = append(problems, entity.Check(doc)...); len(problems) > 0 {
		return nil, fmt.Errorf("%s", problems[0].Render())
	}
	return doc.Plan, nil
}

func runnerOf(kubeconfig string) (*Runner, error) {
	cfg, err := client.Load(kubeconfig, "")
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{Config: cfg, QPS: -1})
	if err != nil {
		return nil, err
	}
	return New(Options{Client: c})
}

// begun is a runner that ends with the test.
func begun(t *testing.T, kubeconfig string) *Runner {
	t.Helper()
	r, err := runnerOf(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx) // as ctx ends
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

// child asks for the task in its folder again and again, as the loop does, and writes
// down how far it is.
func child(dir string) {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	r, err := runnerOf(os.Getenv("KUBECONFIG"))
	die(err)
	text, err := os.ReadFile(filepath.Join(dir, "plan.yaml"))
	die(err)
	p, err := decoded(string(text))
	die(err)
	for {
		b, err := os.ReadFile(filepath.Join(dir, "task.json"))
		die(err)
		var t reconciler.Task
		die(json.Unmarshal(b, &t))
		t.Version.Plan = p
		now, err := r.Ensure(context.Background(), t)
		if err != nil {
			now.Message = err.Error()
		}
		die(put(dir, "progress.json", said{t.Stop, t.Since, os.Getpid(), now}))
		time.Sleep(30 * time.Millisecond)
	}
}

// said is what a child says.
type said struct {
	Stop     plan.Position
	Since    time.Time
	Pid      int
	Progress reconciler.Progress
}

func put(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".new"), b, 0o600); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name))
}

// daemon is a child that the test kills and starts again.
type daemon struct {
	t          *testing.T
	dir        string
	kubeconfig string
	cmd        *exec.Cmd
	kills      int
}

func startDaemon(t *testing.T, kubeconfig, text string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir(), kubeconfig: kubeconfig}
	if err := os.WriteFile(filepath.Join(d.dir, "plan.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command(os.Args[0])
	d.cmd.Env = append(os.Environ(), childEnv+"="+d.dir, "KUBECONFIG="+d.kubeconfig)
	d.cmd.Stderr = os.Stderr
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) kill() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait() // it was killed
		d.cmd = nil
	}
}

// ask gives the daemon a stop, kills it so many times on the way, and waits until it
// is there.
func (d *daemon) ask(stop plan.Position, backward bool, kills int) said {
	d.t.Helper()
	t := reconciler.Task{Stop: stop, Back: backward, Since: time.Now().UTC()}
	if err := put(d.dir, "task.json", t); err != nil {
		d.t.Fatal(err)
	}
	if d.cmd == nil {
		d.start()
	}
	for range kills {
		first := d.says()
		// It has begun, and may be anywhere.
		kubetest.WaitFor(d.t, "the daemon works on "+stop.String(), func() bool { s := d.says(); return s.Since.Equal(t.Since) && s.Pid == d.cmd.Process.Pid })
		time.Sleep(time.Duration(len(first.Progress.Message)*(d.kills+1)%200) * time.Millisecond)
		d.kill()
		d.kills++
		d.start()
	}
	var last said
	kubetest.WaitFor(d.t, "the objects are at "+stop.String(), func() bool {
		last = d.says()
		return last.Since.Equal(t.Since) && last.Pid == d.cmd.Process.Pid && last.Progress.Done
	})
	return last
}

func (d *daemon) says() (s said) {
	b, err := os.ReadFile(filepath.Join(d.dir, "progress.json"))
	if err == nil {
		_ = json.Unmarshal(b, &s) // it is replaced whole
	}
	return s
}
