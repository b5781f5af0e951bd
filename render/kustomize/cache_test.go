package kustomize_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// repository counts how often it is read.
type repository struct {
	files fs.FS
	reads atomic.Int64
}

func (r *repository) at(context.Context, plan.Revision) (fs.FS, error) {
	r.reads.Add(1)
	return r.files, nil
}

func version(t testing.TB, revision plan.Revision) plan.Version {
	doc := document(t, "plans/orders.yaml", []byte(onePhase))
	return plan.Version{Plan: doc.Plan, Path: "plans/orders.yaml", Revision: revision, Live: plan.LiveDigest(doc.Plan)}
}

func TestCacheReadsNothingWhereItKnowsTheObjects(t *testing.T) {
	repo := &repository{files: with(kust("resources: [app.yaml]"))}
	c := kustomize.NewCache(1 << 20)
	want, err := build(t, repo.files.(fstest.MapFS))
	if err != nil {
		t.Fatal(err)
	}
	v := version(t, revision)
	for range 3 {
		got, err := c.Build(t.Context(), v, only, repo.at)
		if err != nil || string(shown(t, got)) != string(shown(t, want)) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if n := repo.reads.Load(); n != 1 {
		t.Errorf("the files were read %d times, want once", n)
	}
	other := v
	other.Revision = "fedcba"
	got, err := c.Build(t.Context(), other, only, repo.at)
	if err != nil || repo.reads.Load() != 2 {
		t.Fatalf("another revision: %v, read %d times", err, repo.reads.Load())
	}
	if !strings.Contains(string(shown(t, got)), "revision: fedcba") {
		t.Error("the objects are those of another revision")
	}
	other.Live += "x"
	if _, err := c.Build(t.Context(), other, only, repo.at); err != nil || repo.reads.Load() != 3 {
		t.Errorf("other content: %v, read %d times", err, repo.reads.Load())
	}
}

func TestCacheBuildsOnceForAllWhoAskAtOnce(t *testing.T) {
	repo := &repository{files: with(kust("resources: [app.yaml]"))}
	c, v := kustomize.NewCache(1<<20), version(t, revision)
	begin := make(chan struct{})
	files := func(ctx context.Context, rev plan.Revision) (fs.FS, error) {
		<-begin
		return repo.at(ctx, rev)
	}
	var wg sync.WaitGroup
	results := make([][]render.Object, 20)
	for i := range results {
		wg.Go(func() {
			got, err := c.Build(t.Context(), v, only, files)
			if err != nil {
				t.Error(err)
			}
			results[i] = got
		})
	}
	close(begin)
	wg.Wait()
	if n := repo.reads.Load(); n != 1 {
		t.Errorf("the files were read %d times, want once", n)
	}
	for _, r := range results {
		if len(r) != 2 || &r[0] != &results[0][0] {
			t.Error("the objects are not shared")
		}
	}
}

func TestCacheForgetsWhatWasNotUsedForLongest(t *testing.T) {
	// Room for about three builds: each is of two objects.
	large := kust("configMapGenerator:\n- {name: a, files: [a.txt]}") + "-- plans/k8s/a.txt --\n" + strings.Repeat("x", 1000) + "\n"
	repo := &repository{files: with(large)}
	c := kustomize.NewCache(3*(2*512+10*1500) + 1000)
	ask := func(i int) int64 {
		t.Helper()
		before := repo.reads.Load()
		if _, err := c.Build(t.Context(), version(t, plan.Revision(fmt.Sprint(i))), only, repo.at); err != nil {
			t.Fatal(err)
		}
		return repo.reads.Load() - before
	}
	for i := range 3 {
		if ask(i) != 1 {
			t.Fatalf("build %d was not built", i)
		}
	}
	if ask(0) != 0 || ask(3) != 1 || ask(0) != 0 {
		t.Error("what was used last was forgotten")
	}
	if ask(1) != 1 {
		t.Error("what was not used for longest is still there")
	}
	kept := kustomize.NewCache(3*(2*512+10*1500) + 1000)
	huge := &repository{files: with(kust("configMapGenerator:\n- {name: a, files: [a.txt]}") + "-- plans/k8s/a.txt --\n" + strings.Repeat("x", 100_000))}
	for i, r := range []*repository{repo, huge} {
		if _, err := kept.Build(t.Context(), version(t, plan.Revision(fmt.Sprint(i))), only, r.at); err != nil {
			t.Fatal(err)
		}
	}
	before := repo.reads.Load()
	if _, err := kept.Build(t.Context(), version(t, "0"), only, repo.at); err != nil || repo.reads.Load() != before {
		t.Errorf("a build larger than the cache pushed another out: %v", err)
	}
	tiny := kustomize.NewCache(100)
	for range 2 {
		before := repo.reads.Load()
		if _, err := tiny.Build(t.Context(), version(t, "0"), only, repo.at); err != nil || repo.reads.Load() != before+1 {
			t.Errorf("a build larger than the cache was kept, or not built: %v", err)
		}
	}
}

func TestCacheKeepsNoErrors(t *testing.T) {
	broken := errors.New("the remote is gone")
	c, v := kustomize.NewCache(1<<20), version(t, revision)
	if _, err := c.Build(t.Context(), v, only, func(context.Context, plan.Revision) (fs.FS, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	var refused *kustomize.Refused
	bad := &repository{files: with(kust("resources: [gone.yaml]"))}
	for range 2 {
		if _, err := c.Build(t.Context(), v, only, bad.at); !errors.As(err, &refused) {
			t.Errorf("got %v", err)
		}
	}
	if bad.reads.Load() != 2 {
		t.Error("the error was kept")
	}
	good := &repository{files: with(kust("resources: [app.yaml]"))}
	if got, err := c.Build(t.Context(), v, only, good.at); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCacheWaitsNoLongerThanItsCaller(t *testing.T) {
	repo := &repository{files: with(kust("resources: [app.yaml]"))}
	c, v := kustomize.NewCache(1<<20), version(t, revision)
	begun, end := make(chan struct{}), make(chan struct{})
	first, cancelFirst := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Build(first, v, only, func(ctx context.Context, _ plan.Revision) (fs.FS, error) {
			close(begun)
			<-ctx.Done()
			<-end
			return nil, ctx.Err()
		})
		done <- err
	}()
	<-begun
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Build(short, v, only, repo.at); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second caller: %v", err)
	}
	third := make(chan error, 1)
	go func() {
		_, err := c.Build(t.Context(), v, only, repo.at)
		third <- err
	}()
	time.Sleep(20 * time.Millisecond) // the third waits too
	cancelFirst()
	close(end)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller: %v", err)
	}
	if err := <-third; err != nil {
		t.Errorf("whoever waits for a caller that gave up builds by itself: %v", err)
	}
}

func TestCacheSurvivesAPanicOfItsCaller(t *testing.T) {
	repo := &repository{files: with(kust("resources: [app.yaml]"))}
	c, v := kustomize.NewCache(1<<20), version(t, revision)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		c.Build(t.Context(), v, only, func(context.Context, plan.Revision) (fs.FS, error) { panic("no files") })
	}()
	if _, err := c.Build(t.Context(), v, only, repo.at); err != nil {
		t.Error(err)
	}
}
