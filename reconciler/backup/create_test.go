package backup_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/backup"
)

func itoa(n int) string { return strconv.Itoa(n) }

// unpacked is what a gzip file has, or the bytes as they are.
func unpacked(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return b
	}
	out, _ := io.ReadAll(z)
	return out
}

func TestAnExpiredTokenIsGoneOnFrom(t *testing.T) {
	r := setup(t)
	r.fill(700)
	var pages, expired atomic.Int64
	r.c = r.client(hooked(func(q *http.Request) (*http.Response, error) {
		if q.URL.Query().Get("continue") == "" || pages.Add(1) > 1 {
			return nil, nil
		}
		// What an API server answers once it has compacted: with a token that goes on with what is there now.
		expired.Add(1)
		token := q.URL.Query().Get("continue")
		body := `{"kind":"Status","apiVersion":"v1","metadata":{"continue":` + strconv.Quote(token) + `},"status":"Failure","message":"The provided continue parameter is too old","reason":"Expired","code":410}`
		return &http.Response{StatusCode: 410, Status: "410 Gone", Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: q}, nil
	}))
	m := r.created(r.of())
	if expired.Load() != 1 || m.Objects != 700 || !m.Kinds[0].Changing {
		t.Errorf("%d tokens expired, %d objects, changing %v", expired.Load(), m.Objects, m.Kinds[0].Changing)
	}
	r.counts(r.verify(m), "Intact 700")
}

// TestAFullDisk bounds the size of files that the process may write.
func TestAFullDisk(t *testing.T) {
	r := setup(t)
	r.fill(700)
	signal.Ignore(syscall.SIGXFSZ) // the write fails instead, as on a full disk
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	r.must(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	limit := old
	limit.Cur = 2000
	r.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	_, err := r.create(r.of())
	r.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old))
	if err == nil || !strings.Contains(err.Error(), ".jsonl.gz: ") || !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("got %v", err)
	}
	all, err := r.store.List(context.Background(), r.plan)
	r.must(err)
	for _, b := range all {
		if b.Err == nil {
			t.Errorf("%s looks like a backup", b.Name)
		}
	}
	m := r.created(r.of())
	r.counts(r.verify(m), "Intact 700")
}

func TestWhatWasNotPublishedIsNoBackup(t *testing.T) {
	r := setup(t)
	r.fill(3)
	m := r.created(r.of())
	r.must(os.Remove(r.file(m, "backup.json")))
	all, err := r.store.List(context.Background(), r.plan)
	r.must(err)
	if len(all) != 1 || !errors.Is(all[0].Err, backup.ErrUnfinished) {
		t.Errorf("got %v", all)
	}
}

func TestKindsThatAreNotServed(t *testing.T) {
	r := setup(t)
	for kind, says := range map[plan.BackupKind]string{
		{APIVersion: "none.example.com/v1", Kind: "Thing"}:          "does not serve the kind",
		{APIVersion: "v1", Kind: "Namespace", Namespace: "default"}: "has no namespaces",
	} {
		if _, err := r.create(r.of(kind)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
