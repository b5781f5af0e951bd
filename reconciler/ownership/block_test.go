package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/postgres"
)

// TestBlocksConform runs one suite over both stores.
func TestBlocksConform(t *testing.T) {
	server := postgres.Start(t, "-F")
	for name, fresh := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "owners.db") },
		"postgres": func(*testing.T) string { return server.URL(false) },
	} {
		t.Run(name, func(t *testing.T) {
			for what, test := range map[string]func(*testing.T, string){
				"a flip needs its block": flips, "blocks are seen": blocksAreSeen, "one of two that race wins": races, "bad tokens": badTokens,
			} {
				t.Run(what, func(t *testing.T) { test(t, fresh(t)) })
			}
		})
	}
}

func row(t *testing.T, s ownership.Store, id string) ownership.Entity {
	t.Helper()
	e, ok, err := s.Get(t.Context(), key, id)
	if err != nil || !ok {
		t.Fatalf("get %q: %v, %v", id, ok, err)
	}
	return e
}

func migrated(id string) ownership.Entity {
	e := entity(id, plan.Modern, ownership.Migrated)
	e.Batch = "gradual@10"
	return e
}

func flips(t *testing.T, url string) {
	s := open(t, url)
	add(t, s, entity("a", plan.Legacy, ownership.BornLegacy), entity("b", plan.Legacy, ownership.BornLegacy))
	ctx := t.Context()
	if _, err := s.Flip(ctx, key, migrated("a"), "mine"); !errors.Is(err, ownership.ErrBlockLost) {
		t.Errorf("without a block a flip answers %v", err)
	}
	blocked, err := s.Block(ctx, key, "a", "mine")
	if err != nil {
		t.Fatal(err)
	}
	if e := row(t, s, "a"); e.Block != "mine" || e.Owner != plan.Legacy || e.Revision != blocked {
		t.Errorf("the blocked row is %+v", e)
	}
	if err := s.Unblock(ctx, key, "a", "another's"); err != nil || row(t, s, "a").Block != "mine" {
		t.Errorf("another's token lifts the block, error %v", err)
	}
	flipped, err := s.Flip(ctx, key, migrated("a"), "mine")
	if e := row(t, s, "a"); err != nil || flipped <= blocked || e.Owner != plan.Modern || e.Origin != ownership.Migrated || e.Batch != "gradual@10" || e.Block != "" || !e.At.Equal(noon) {
		t.Errorf("after the flip the row is %+v, error %v", e, err)
	}
	if e := row(t, s, "b"); e.Owner != plan.Legacy || e.Block != "" {
		t.Errorf("the other one is %+v", e)
	}
	if _, err := s.Block(ctx, key, "b", "first"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Block(ctx, key, "b", "second"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flip(ctx, key, migrated("b"), "first"); !errors.Is(err, ownership.ErrBlockLost) || row(t, s, "b").Owner != plan.Legacy {
		t.Errorf("a block that was replaced still flips, error %v", err)
	}
	if err := s.Unblock(ctx, key, "b", "second"); err != nil || row(t, s, "b").Block != "" {
		t.Errorf("the block stays, error %v", err)
	}
	if _, err := s.Block(ctx, key, "unknown", "mine"); !errors.Is(err, ownership.ErrUnknown) {
		t.Errorf("an unknown one is blocked: %v", err)
	}
	if _, err := s.Block(ctx, other, "a", "mine"); !errors.Is(err, ownership.ErrUnknown) {
		t.Errorf("another plan's is blocked: %v", err)
	}
	if _, ok, err := s.Get(ctx, key, "unknown"); ok || err != nil {
		t.Errorf("an unknown one is read: %v, %v", ok, err)
	}
}

func blocksAreSeen(t *testing.T, url string) {
	writer := open(t, url)
	add(t, writer, entity("a", plan.Legacy, ownership.BornLegacy))
	f := running(t, open(t, url))
	<-f.Loaded()
	revision, err := writer.Block(t.Context(), key, "a", "mine")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.CatchUp(t.Context(), revision); err != nil || f.Index().Block("a") != "mine" || f.Index().Block("b") != "" || len(f.Index().Blocks()) != 1 {
		t.Errorf("after revision %d the blocks are %v, error %v", revision, f.Index().Blocks(), err)
	}
	if revision, err = writer.Flip(t.Context(), key, migrated("a"), "mine"); err != nil {
		t.Fatal(err)
	}
	if err := f.CatchUp(t.Context(), revision); err != nil || f.Index().Block("a") != "" || !owns(f, "a", plan.Modern)() {
		t.Errorf("after the flip the blocks are %v, error %v", f.Index().Blocks(), err)
	}
	if err := f.CatchUp(t.Context(), revision+1); err == nil {
		t.Error("it has caught up with what was never written")
	}
	fresh := running(t, open(t, url))
	<-fresh.Loaded()
	if len(fresh.Index().Blocks()) != 0 {
		t.Errorf("a new follower sees the blocks %v", fresh.Index().Blocks())
	}
}

// races: of a flip and a lift of the same block one comes first, and the other
// knows.
func races(t *testing.T, url string) {
	engine, bridge := open(t, url), open(t, url)
	for i := range 50 {
		id := fmt.Sprint("id-", i)
		add(t, engine, entity(id, plan.Legacy, ownership.BornLegacy))
		if _, err := engine.Block(t.Context(), key, id, "mine"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var flip error
		wg.Go(func() { _, flip = engine.Flip(context.Background(), key, migrated(id), "mine") })
		wg.Go(func() {
			if err := bridge.Unblock(context.Background(), key, id, "mine"); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		e := row(t, engine, id)
		if (flip == nil) != (e.Owner == plan.Modern) || flip != nil && !errors.Is(flip, ownership.ErrBlockLost) || e.Block != "" {
			t.Errorf("the flip answers %v and the row is %+v", flip, e)
		}
	}
}

func badTokens(t *testing.T, url string) {
	s := open(t, url)
	add(t, s, entity("a", plan.Legacy, ownership.BornLegacy))
	for _, token := range []string{"", string(make([]byte, 65))} {
		_, block := s.Block(t.Context(), key, "a", token)
		_, flip := s.Flip(t.Context(), key, migrated("a"), token)
		if block == nil || flip == nil || errors.Is(flip, ownership.ErrBlockLost) || s.Unblock(t.Context(), key, "a", token) == nil {
			t.Errorf("the token %q is taken: %v, %v", token, block, flip)
		}
	}
}
