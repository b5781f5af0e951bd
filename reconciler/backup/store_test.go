package backup_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/test/s3test"
)

// inS3 has the backups of a rig in a bucket of a real service; its files are those
// that the service answers with.
func (r *rig) inS3(t *testing.T) *backup.Store {
	t.Helper()
	s := s3test.Start(t, "backups")
	r.dir = filepath.Join(s.Dir, "backups", "some", "prefix")
	return r.open(s.Bucket("backups", "some/prefix"))
}

// TestEveryStoreKeepsBackups is one suite for all of them.
func TestEveryStoreKeepsBackups(t *testing.T) {
	for name, open := range map[string]func(*rig) *backup.Store{
		"file":   func(r *rig) *backup.Store { return r.store },
		"memory": func(*rig) *backup.Store { return backup.On(memblob.OpenBucket(nil)) },
		"s3":     func(r *rig) *backup.Store { return r.inS3(t) },
	} {
		t.Run(name, func(t *testing.T) {
			r := setup(t)
			r.store = open(r)
			r.fill(150)
			first, second := r.created(r.of()), r.created(r.of())
			r.counts(r.verify(first), "Intact 150")
			r.must(r.objects().Delete(t.Context(), "intent-00007", deleteNow))
			r.counts(r.restore(second), "Unchanged 149, Restored 1")
			if got := r.names(); !slices.Equal(got, []string{first.Name, second.Name}) {
				t.Errorf("got %q", got)
			}
			keys, err := r.store.Plans(t.Context())
			r.must(err)
			if !slices.Contains(keys, r.plan) {
				t.Errorf("got %v", keys)
			}
			r.must(r.store.Delete(t.Context(), r.plan, first.Name))
			if got := r.names(); !slices.Equal(got, []string{second.Name}) {
				t.Errorf("got %q", got)
			}
			if _, err := r.store.Load(t.Context(), r.plan, first.Name); err == nil {
				t.Error("a deleted backup was loaded")
			}
		})
	}
}

// names of all backups of the plan.
func (r *rig) names() []string {
	r.Helper()
	all, err := r.store.List(r.Context(), r.plan)
	r.must(err)
	var out []string
	for _, b := range all {
		out = append(out, b.Name)
	}
	return out
}

// onDiskAndInS3 runs a test on both, which have files that can be damaged.
func onDiskAndInS3(t *testing.T, test func(*testing.T, *rig)) {
	t.Run("file", func(t *testing.T) { test(t, setup(t)) })
	t.Run("s3", func(t *testing.T) {
		r := setup(t)
		r.store = r.inS3(t)
		test(t, r)
	})
}

func TestRetention(t *testing.T) { onDiskAndInS3(t, retention) }

func retention(t *testing.T, r *rig) {
	r.fill(1)
	b := r.of()
	b.Retention = plan.Duration(time.Hour)
	oldest, held, old, newest := r.created(b), r.created(b), r.created(b), r.created(b)
	expire := func(after time.Duration, holds ...backup.Hold) []string {
		t.Helper()
		gone, err := r.store.Expire(t.Context(), r.plan, holds, newest.Ended.Add(after))
		r.must(err)
		return gone
	}
	if gone := expire(50 * time.Minute); len(gone) > 0 {
		t.Errorf("%q were deleted before their time", gone)
	}
	hold := backup.Hold{Commit: "fedcba", At: held.Begun.Add(30 * time.Second)}
	if gone := expire(24*time.Hour, hold); !slices.Equal(gone, []string{oldest.Name, old.Name}) {
		t.Errorf("got %q", gone)
	}
	if gone := expire(24*time.Hour, backup.Hold{Commit: held.Revision}); len(gone) > 0 {
		t.Errorf("%q were deleted, to which a hold refers", gone)
	}
	r.damage(newest, "backup.json", func(b []byte) []byte { return bytes.Replace(b, []byte("1h"), []byte("2h"), 1) })
	if gone := expire(1000 * time.Hour); len(gone) > 0 {
		t.Errorf("%q were deleted: the last that can be read, and what a person is to see", gone)
	}
	r.must(os.Remove(r.file(newest, "backup.json")))
	gone, err := r.store.Expire(t.Context(), r.plan, nil, time.Now().Add(25*time.Hour))
	r.must(err)
	if !slices.Equal(gone, []string{newest.Name}) || !slices.Equal(r.names(), []string{held.Name}) {
		t.Errorf("what was not finished: %q were deleted", gone)
	}
}

func TestURLsThatAreNone(t *testing.T) {
	for _, u := range []string{"", "/tmp/x", "file://tmp/x", "file:///", "gs://bucket", "s3://", "s3://key:swordfish@bucket", "file:///x?metadata=skip", "\x00"} {
		s, err := backup.Open(t.Context(), u)
		if err == nil {
			t.Errorf("%q was opened", u)
			_ = s.Close()
		} else if strings.Contains(err.Error(), "swordfish") {
			t.Errorf("the error has the password: %v", err)
		}
	}
}
