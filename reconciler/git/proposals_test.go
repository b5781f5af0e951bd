package git

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

// propose puts a commit onto refs/pull/N/head of the host alone, from a fork at
// main's commit from.
func (f *fixture) propose(number, from string, files ...string) plan.Revision {
	f.t.Helper()
	f.git("checkout", "-q", "--detach", from)
	rev := f.commit("a proposal", files...)
	f.git("push", "-q", "origin", "HEAD:refs/pull/"+number+"/head")
	f.git("checkout", "-q", "main")
	return rev
}

func TestAProposalIsReadBesideTheBranch(t *testing.T) {
	for name, dir := range map[string]string{"on disk": t.TempDir(), "in memory": ""} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			from := f.hostHead()
			want := f.propose("7", "main", shopFile, shopPlan("gradual@25"), "new/README.md", "new\n")
			f.commit("elsewhere", "README.md", "hello again\n")
			f.push()
			o := f.options()
			o.Dir = dir
			r := openWith(t, o)
			p := r.Proposals()
			refs := []string{"refs/merge-requests/7/head", "refs/pull/7/head"}
			shared, err := p.Fetch(t.Context(), refs, want)
			if err != nil || shared != from {
				t.Fatalf("shared %s, %v, want %s", shared, err, from)
			}
			for rev, declares := range map[plan.Revision]string{want: "gradual@25", shared: "setup"} {
				files, err := p.Plans(t.Context(), rev)
				if err != nil || len(files) != 1 || files[0].Version.Plan.Spec.Position.String() != declares {
					t.Errorf("at %s: %+v, %v, want %s", rev, files, err, declares)
				}
			}
			if _, err := p.Files(t.Context(), want); err != nil {
				t.Error(err)
			}
			if _, err := r.commitAt(want); err == nil {
				t.Error("the branch's own store has the proposal")
			}
			if r.store.damaged.Load() || poll(t, r) != f.hostHead() {
				t.Error("the branch cannot be read any more")
			}
			// Once fetched it needs no remote, and main that moved changes nothing.
			f.run(f.bare, "update-ref", "-d", "refs/pull/7/head")
			if again, err := p.Fetch(t.Context(), refs, want); err != nil || again != from {
				t.Errorf("again: %s, %v", again, err)
			}
		})
	}
}

// TestAProposalThatMergedTheBranch shares its newest commit with it.
func TestAProposalThatMergedTheBranch(t *testing.T) {
	f := newFixture(t)
	f.git("checkout", "-q", "-b", "feature")
	f.commit("a feature", "feature.txt", "1\n")
	f.git("checkout", "-q", "main")
	newer := f.commit("elsewhere", "README.md", "hello again\n")
	f.push()
	f.git("checkout", "-q", "feature")
	f.git("merge", "-q", "--no-edit", "main")
	want := f.commit("more", "feature.txt", "2\n")
	f.git("push", "-q", "origin", "feature")
	shared, err := f.open().Proposals().Fetch(t.Context(), []string{"refs/heads/feature"}, want)
	if err != nil || shared != newer {
		t.Errorf("shared %s, %v, want %s", shared, err, newer)
	}
}

func TestAProposalThatIsNotTakenIn(t *testing.T) {
	f := newFixture(t)
	large := f.propose("1", "main", "zeros", strings.Repeat("\x00", maxProposedSize+1))
	old := f.propose("2", "main", "a", "1\n")
	f.git("push", "-q", "-f", "origin", string(f.propose("3", "main", "a", "2\n"))+":refs/pull/2/head")
	f.git("checkout", "-q", "--orphan", "apart")
	f.git("rm", "-q", "-rf", ".")
	apart := f.commit("of another history", "a", "1\n")
	f.git("push", "-q", "origin", "apart")
	r := f.open()
	p := r.Proposals()
	for _, tc := range []struct {
		ref  string
		rev  plan.Revision
		want string
	}{
		{"refs/pull/1/head", large, "gets larger than 64 MiB"},
		{"refs/pull/2/head", old, "meanwhile"},
		{"refs/pull/9/head", old, "no ref names it"},
		{"refs/heads/apart", apart, "shares no commit with branch main"},
		{"refs/heads/main", "main", "is not the name of a commit"},
	} {
		if _, err := p.Fetch(t.Context(), []string{tc.ref}, tc.rev); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.ref, err, tc.want)
		}
	}
	if _, err := r.commitAt(large); err == nil || r.store.damaged.Load() {
		t.Error("the branch's store was touched")
	}
}

// TestWhatWasFetchedIsBounded: many large proposals do not add up.
func TestWhatWasFetchedIsBounded(t *testing.T) {
	f := newFixture(t)
	p := f.open().Proposals()
	for _, n := range []string{"1", "2", "3"} {
		rev := f.propose(n, "main", "zeros", n+strings.Repeat("\x00", 40<<20))
		if _, err := p.Fetch(t.Context(), []string{"refs/pull/" + n + "/head"}, rev); err != nil {
			t.Fatal(err)
		}
		if p.size > 2*maxProposedSize {
			t.Errorf("after %s: %d bytes", n, p.size)
		}
	}
	if p.size > 41<<20 {
		t.Errorf("%d bytes are kept", p.size)
	}
}

func TestTheSizeOfADeltaIsThatOfWhatItGives(t *testing.T) {
	for want, b := range map[int64][]byte{5: {3, 5, 1}, 300: {0x80, 0x01, 0xac, 0x02}, maxProposedSize + 1: {0x80}} {
		var p prefix
		if _, err := p.Write(b); err != nil || p.result() != want {
			t.Errorf("% x: %d, want %d", b, p.result(), want)
		}
	}
}

func TestTipIsOfABranchThatWaits(t *testing.T) {
	f := newFixture(t)
	f.git("checkout", "-q", "-b", "changeover/rollback-shop")
	waits := f.commit("a revert", "README.md", "1\n")
	f.git("push", "-q", "origin", "changeover/rollback-shop")
	r := f.open()
	for branch, want := range map[string]plan.Revision{"changeover/rollback-shop": waits, "none": "", "main": ""} {
		if tip, err := r.Tip(t.Context(), branch); err != nil || tip != want {
			t.Errorf("%s: %s, %v, want %s", branch, tip, err, want)
		}
	}
	f.git("checkout", "-q", "main")
	f.git("merge", "-q", "--no-ff", "--no-edit", "changeover/rollback-shop")
	f.push()
	poll(t, r)
	if tip, err := r.Tip(t.Context(), "changeover/rollback-shop"); err != nil || tip != "" {
		t.Errorf("merged: %s, %v", tip, err)
	}
}
