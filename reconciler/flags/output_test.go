package flags_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/flags"
	"github.com/changeover-dev/changeover/render/flagd"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func shop(all ...plan.Flag) *plan.Plan {
	return &plan.Plan{Metadata: plan.Metadata{Name: "shop", Namespace: "web"}, Spec: plan.Spec{
		Phases: []plan.Phase{{Name: "setup"}, {Name: "gradual", Percents: []plan.Percent{10, 50}}}, Flags: all,
	}}
}

var checkout = plan.Flag{Name: "checkout", Default: plan.Legacy, Percent: &plan.Share{Position: true}}

func at(percent plan.Percent) plan.Position {
	return plan.Position{Phase: "gradual", Percent: percent}
}

// store counts what it is asked.
type store struct {
	flags.Folder
	reads, writes int
	fail          error
}

func (s *store) Read(ctx context.Context, key plan.Key) ([]byte, error) {
	s.reads++
	return s.Folder.Read(ctx, key)
}

func (s *store) Write(ctx context.Context, set *flagd.Set) error {
	s.writes++
	if s.fail != nil {
		return s.fail
	}
	return s.Folder.Write(ctx, set)
}

func TestFlagsAreWrittenWhereTheyDiffer(t *testing.T) {
	s := &store{Folder: flags.Folder(t.TempDir())}
	file := filepath.Join(string(s.Folder), "web", "shop", "flags.flagd.json")
	o := flags.New(s, time.Minute)
	apply := func(p *plan.Plan, stop plan.Position, now time.Time, reads, writes int, has string) {
		t.Helper()
		s.reads, s.writes = 0, 0
		if err := o.Apply(t.Context(), p, stop, now); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if s.reads != reads || s.writes != writes || !strings.Contains(string(b), has) {
			t.Errorf("%d reads and %d writes, not %d and %d; want %q in:\n%s", s.reads, s.writes, reads, writes, has, b)
		}
	}
	apply(shop(checkout), at(10), now, 1, 1, `["modern",1000]`)
	apply(shop(checkout), at(10), now.Add(59*time.Second), 0, 0, `["modern",1000]`)
	apply(shop(checkout), at(50), now.Add(59*time.Second), 1, 1, `["modern",5000]`)
	if set := o.Of(plan.Key{Namespace: "web", Name: "shop"}); set == nil || set.Stop != at(50) || len(o.All()) != 1 {
		t.Errorf("served are %+v", set)
	}
	// Somebody writes over it.
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	apply(shop(checkout), at(50), now.Add(3*time.Minute), 1, 1, `["modern",5000]`)
	apply(shop(checkout), at(50), now.Add(5*time.Minute), 1, 0, `["modern",5000]`)
	// After a restart what is there is found.
	o = flags.New(s, time.Minute)
	apply(shop(checkout), at(50), now, 1, 0, `["modern",5000]`)
	// A version without flags takes them away, and is not looked at again.
	apply(shop(), at(50), now, 1, 1, `"flags": {},`)
	apply(shop(), at(10), now.Add(time.Hour), 0, 0, `"flags": {},`)
	if set := o.Of(plan.Key{Namespace: "web", Name: "shop"}); set != nil || len(o.All()) != 0 {
		t.Errorf("served are %+v", set)
	}
}

func TestAPlanThatNeverHadFlagsHasNoFile(t *testing.T) {
	s := &store{Folder: flags.Folder(t.TempDir())}
	o := flags.New(s, time.Minute)
	for range 3 {
		if err := o.Apply(t.Context(), shop(), at(10), now); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := os.ReadDir(string(s.Folder)); err != nil || len(all) > 0 || s.reads != 1 || s.writes != 0 {
		t.Errorf("%d reads, %d writes, files %v (%v)", s.reads, s.writes, all, err)
	}
}

func TestWhatCouldNotBeWrittenIsNotServed(t *testing.T) {
	s := &store{Folder: flags.Folder(t.TempDir())}
	o := flags.New(s, time.Minute)
	if err := o.Apply(t.Context(), shop(checkout), at(10), now); err != nil {
		t.Fatal(err)
	}
	s.fail = errors.New("no space left")
	err := o.Apply(t.Context(), shop(checkout), at(50), now)
	if err == nil || !strings.Contains(err.Error(), "apply the flags of gradual@50: no space left") {
		t.Errorf("the error is %v", err)
	}
	if set := o.Of(shop().Key()); set.Stop != at(10) {
		t.Errorf("served is %s", set.Stop)
	}
	s.fail = nil
	if err := o.Apply(t.Context(), shop(checkout), at(50), now); err != nil || o.Of(shop().Key()).Stop != at(50) {
		t.Errorf("after it could be written: %v", err)
	}
}

// A folder that is gone, as when it is not mounted, is not made.
func TestTheFolderItselfIsNotMade(t *testing.T) {
	gone := flags.Folder(filepath.Join(t.TempDir(), "gone"))
	if err := flags.New(gone, 0).Apply(t.Context(), shop(checkout), at(10), now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}
