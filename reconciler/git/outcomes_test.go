package git

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// pushCase is one thing that may become of a push. The zero kind means that it
// is no error.
type pushCase struct {
	name string
	// arrange makes the host do it, once or until it is lifted.
	arrange func(f *fixture, r *Repository)
	kind    reconciler.RemoteKind
	outcome reconciler.PushOutcome
	text    string // in the error
	first   bool   // also where the full counts are not asked for
}

// pushCases are the outcomes that the design names.
var pushCases = []pushCase{
	{name: "the branch moves before the push", outcome: reconciler.PushedHead, arrange: func(f *fixture, r *Repository) {
		r.beforePush = sync.OnceFunc(func() { f.commitOn("docs", "README.md", "docs\n"); f.push() })
	}},
	{name: "the host finds that the branch moved", first: true, outcome: reconciler.PushedHead, arrange: func(f *fixture, _ *Repository) {
		f.commit("docs", "README.md", "docs\n")
		f.git("push", "-q", "origin", "HEAD:side")
		f.once("update", "git update-ref refs/heads/main refs/heads/side")
	}},
	{name: "the branch is locked", kind: reconciler.RemoteRace, text: "main", arrange: func(f *fixture, r *Repository) {
		r.o.RaceTimeout = time.Second
		f.write("../host.git/refs/heads/main.lock", "")
	}},
	{name: "the branch is protected", first: true, outcome: reconciler.PushedBranch, arrange: func(f *fixture, _ *Repository) { f.hook("update", protect) }},
	{name: "all is refused", kind: reconciler.RemoteRefused, text: "pre-receive hook declined", arrange: func(f *fixture, _ *Repository) {
		f.hook("pre-receive", "echo closed for today >&2; exit 1")
	}},
	{name: "the host drops the push after it took it", kind: reconciler.RemoteNoOp, text: "is still at", arrange: func(f *fixture, _ *Repository) {
		f.hook("post-receive", `while read old new ref; do git update-ref $ref $old; done`)
	}},
	{name: "the answer is lost", outcome: reconciler.PushedHead, arrange: func(f *fixture, _ *Repository) {
		f.once("post-receive", "kill -9 $PPID")
	}},
	{name: "the host dies before it takes it", first: true, kind: reconciler.RemoteUnreachable, arrange: func(f *fixture, _ *Repository) {
		f.once("pre-receive", "kill -9 $PPID; exit 1")
	}},
	{name: "the host does not answer", kind: reconciler.RemoteUnreachable, text: "in time", arrange: func(f *fixture, r *Repository) {
		r.remote.timeout = 1500 * time.Millisecond
		f.hook("pre-receive", "sleep 4; exit 1")
	}},
	{name: "the host is gone", kind: reconciler.RemoteUnreachable, arrange: func(f *fixture, _ *Repository) {
		if err := os.Rename(f.bare, f.bare+".gone"); err != nil {
			f.t.Fatal(err)
		}
	}},
	{name: "the credentials are not taken", first: true, kind: reconciler.RemoteAuth, arrange: func(f *fixture, r *Repository) {
		for _, file := range []string{r.remote.auth.TokenFile, r.remote.auth.KeyFile} {
			if file == "" {
				continue
			}
			if err := os.Rename(file, file+".gone"); err != nil {
				f.t.Fatal(err)
			}
		}
	}},
}

// mend takes away all that a case may have arranged.
func (f *fixture) mend(r *Repository) {
	f.t.Helper()
	for _, name := range []string{f.bare, r.remote.auth.TokenFile, r.remote.auth.KeyFile} {
		if _, err := os.Stat(name + ".gone"); name != "" && err == nil {
			if err := os.Rename(name+".gone", name); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	f.lift()
	_ = os.Remove(filepath.Join(f.bare, "refs/heads/main.lock"))
	r.remote.timeout, r.o.RaceTimeout = 30*time.Second, 30*time.Second
}

// TestEachOutcomeOfAPush provokes each over each transport, and pushes again
// until the revert is on the branch, where it must be exactly once.
func TestEachOutcomeOfAPush(t *testing.T) {
	for _, over := range transports(t) {
		for _, c := range pushCases {
			if c.kind == reconciler.RemoteAuth && over.name == "file" {
				continue // it has no credentials
			}
			if over.name == "ssh" && !c.first && !accept() {
				continue // each connection of a real sshd takes its time
			}
			t.Run(over.name+"/"+c.name, func(t *testing.T) { outcome(t, over, c) })
		}
	}
}

func outcome(t *testing.T, over via, c pushCase) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := over.open(t, f, f.options())
	u := undo("gradual@10", "setup", bad)
	c.arrange(f, r)
	p, err := pushOne(r, u)
	switch {
	case c.kind != "":
		if e := wantKind(t, err, c.kind); !strings.Contains(e.Error(), c.text) {
			t.Errorf("the error %q does not say %q", e, c.text)
		}
		for _, file := range []string{r.remote.auth.TokenFile, r.remote.auth.KeyFile} {
			if secret, readErr := os.ReadFile(file); file != "" && readErr == nil && strings.Contains(err.Error(), string(secret)) {
				t.Errorf("the error %q holds a secret", err)
			}
		}
	case err != nil || p.Outcome != c.outcome:
		t.Fatalf("got %+v, %v; want %s", p, err, c.outcome)
	}
	f.mend(r)
	r.beforePush = nil
	want := reconciler.PushedHead
	if c.kind == "" && c.outcome == reconciler.PushedHead {
		want = reconciler.PushedNothing // it is there already
	}
	if p, err = pushOne(r, u); err != nil || p.Outcome != want {
		t.Errorf("again: %+v, %v; want %s", p, err, want)
	}
	if n := f.reverts(); n != "1" || f.shown(shopFile) != shopPlan("setup") {
		t.Errorf("%s reverts on the branch, and the plan\n%s", n, f.shown(shopFile))
	}
	if head := poll(t, r); head != f.hostHead() {
		t.Errorf("it is at %s, the host at %s", head, f.hostHead())
	}
	f.fsck(f.bare)
}

// TestManyPushToOneBranchAtOnce has ten daemons, each with a raise of its own
// to undo and all with one more, and ten people who push to the same branch.
func TestManyPushToOneBranchAtOnce(t *testing.T) {
	daemons, people, each := 4, 4, 1
	if accept() {
		daemons, people, each = 10, 10, 3
	}
	f := newFixture(t)
	all := f.promote("gradual@10")
	var raises []plan.Revision
	name := func(i int) string { return fmt.Sprint("shop-", i) }
	file := func(i int) string { return "plans/" + name(i) + ".yaml" }
	for i := range daemons {
		f.commit("add "+name(i), file(i), shopPlan("setup", "name: shop", "name: "+name(i)))
		raises = append(raises, f.commit("raise "+name(i), file(i), shopPlan("gradual@10", "name: shop", "name: "+name(i))))
	}
	f.push()
	f.host("config", "gc.auto", "0")
	before := f.host("rev-list", "--count", "main")
	sshd := startSSHD(t)
	// All are there before the first begins: a clone of a folder fails when a
	// push moves its objects meanwhile.
	var repos []*Repository
	for i := range daemons {
		o := f.options()
		o.RaceTimeout = 5 * time.Minute
		if i%2 == 0 {
			o.URL, o.Auth = sshd.url(f.bare), sshd.auth
		}
		repos = append(repos, openWith(t, o))
	}
	var persons []*person
	for i := range people {
		persons = append(persons, f.person(fmt.Sprint("person-", i)))
	}
	var wg sync.WaitGroup
	for i, r := range repos {
		own := undo("gradual@10", "setup", raises[i])
		own.Key.Name = name(i)
		wg.Go(func() {
			for _, u := range []reconciler.Undo{own, undo("gradual@10", "setup", all)} {
				if p, err := pushOne(r, u); err != nil || p.Outcome == reconciler.PushedBranch {
					t.Errorf("daemon %d, %s: %+v, %v", i, u.Key, p, err)
				}
			}
		})
	}
	for i, p := range persons {
		wg.Go(func() {
			for n := range each {
				if err := p.publish(fmt.Sprintf("docs/%d-%d.md", i, n)); err != nil {
					t.Errorf("person %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if n := f.reverts(); n != fmt.Sprint(daemons+1) {
		t.Errorf("%s reverts, want %d", n, daemons+1)
	}
	var had int
	fmt.Sscan(before, &had)
	if n := f.host("rev-list", "--count", "main"); n != fmt.Sprint(had+daemons+1+people*each) {
		t.Errorf("%s commits, want %d", n, had+daemons+1+people*each)
	}
	files := f.host("ls-tree", "-r", "--name-only", "main")
	for i := range people {
		for n := range each {
			if want := fmt.Sprintf("docs/%d-%d.md", i, n); !strings.Contains(files, want) {
				t.Errorf("%s is lost", want)
			}
		}
	}
	for i := range daemons {
		if got := f.shown(file(i)); got != shopPlan("setup", "name: shop", "name: "+name(i)) {
			t.Errorf("%s is\n%s", file(i), got)
		}
	}
	f.fsck(f.bare)
}

// person is a clone of somebody else's.
type person struct {
	f   *fixture
	dir string
}

func (f *fixture) person(name string) *person {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), name)
	f.run("/", "clone", "-q", f.bare, dir)
	return &person{&fixture{t: f.t, bare: f.bare, work: dir}, dir}
}

// publish commits a file, and pushes until it is on the branch, as people do.
func (p *person) publish(name string) error {
	if err := os.MkdirAll(filepath.Join(p.dir, "docs"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(name), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "add " + name}} {
		if out, err := p.f.try(p.dir, args...); err != nil {
			return fmt.Errorf("git %v: %w: %s", args, err, out)
		}
	}
	for range 500 {
		if _, err := p.f.try(p.dir, "push", "-q", "origin", "HEAD:main"); err == nil {
			return nil
		}
		if out, err := p.f.try(p.dir, "pull", "-q", "--rebase", "origin", "main"); err != nil && !strings.Contains(out, "lock") {
			return fmt.Errorf("git pull: %w: %s", err, out)
		}
	}
	return errors.New("it lost every race")
}
