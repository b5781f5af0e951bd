package repo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCommitsArePushedOneLineAtATime(t *testing.T) {
	ctx := t.Context()
	r, err := Init(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(ctx, "orders: a plan", "orders/plan.yaml", []byte("a: 1\nposition: {phase: setup}\n")); err != nil {
		t.Fatal(err)
	}
	c, err := r.Commit(ctx, "orders: 10 %", "orders/plan.yaml", []byte("a: 1\nposition: {phase: gradual, percent: 10}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"-position: {phase: setup}", "+position: {phase: gradual, percent: 10}"}; !slices.Equal(c.Diff, want) {
		t.Errorf("diff is %q, want %q", c.Diff, want)
	}
	if head, err := r.Head(ctx); err != nil || head != c.Revision {
		t.Errorf("head is %q, %v, want %q", head, err, c.Revision)
	}
	if b, err := r.Read(ctx, "orders/plan.yaml"); err != nil || !strings.HasSuffix(string(b), "percent: 10}\n") {
		t.Errorf("the file is %q, %v", b, err)
	}
	log, err := r.Log(ctx)
	if err != nil || len(log) != 2 || !strings.HasSuffix(log[0], "Dana        orders: 10 %") {
		t.Errorf("log is %q, %v", log, err)
	}
	if out, err := r.Fsck(ctx); err != nil || out != "" {
		t.Errorf("fsck says %q, %v", out, err)
	}
}

func TestACommitTakesOverWhatOthersPushed(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	r, err := Init(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(ctx, "orders: a plan", "plan.yaml", []byte("a: 1\n")); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other")
	for _, args := range [][]string{
		{"clone", "--quiet", r.Bare, other},
		{"-C", other, "commit", "--quiet", "--allow-empty", "-m", "Revert\n\nWhy.\n\nChangeover-To: gradual@25"},
		{"-C", other, "push", "--quiet", "origin", "HEAD:main"},
	} {
		if _, err := git(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	theirs, err := r.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if to, err := r.Trailer(ctx, theirs, "Changeover-To"); err != nil || to != "gradual@25" {
		t.Errorf("trailer is %q, %v", to, err)
	}
	if _, err := r.Commit(ctx, "docs: a word", "README.md", []byte("word\n")); err != nil {
		t.Fatal(err)
	}
	if log, err := r.Log(ctx); err != nil || len(log) != 3 {
		t.Errorf("log is %q, %v, want three commits", log, err)
	}
}

func TestFsckSeesADamagedObject(t *testing.T) {
	ctx := t.Context()
	r, err := Init(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(ctx, "orders: a plan", "plan.yaml", []byte("a: 1\n")); err != nil {
		t.Fatal(err)
	}
	objects, err := filepath.Glob(filepath.Join(r.Bare, "objects", "??", "*"))
	if err != nil || len(objects) == 0 {
		t.Fatalf("no loose objects: %v", err)
	}
	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	if out, err := r.Fsck(ctx); err == nil {
		t.Errorf("fsck finds nothing: %q", out)
	}
}
