package transform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// sourceTimeout bounds the work on one source.
const sourceTimeout = 2 * time.Minute

// passed is what one pass over all sources found.
type passed struct {
	mu                      sync.Mutex
	changed, added, deleted int
	lines                   []string // UID and content of each source
}

// news are the sources that were not as they were read before.
func (p *passed) news() int { return p.changed + p.added + p.deleted }

// signature over the sources: equal ones mean that nothing was changed, added or
// deleted.
func (p *passed) signature() string {
	slices.Sort(p.lines)
	sum := sha256.Sum256([]byte(strings.Join(p.lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// pass goes through all sources once. Those that are as they were read are passed
// over, if their targets are too.
func (j *job) pass(ctx context.Context) (*passed, error) {
	var err error
	if j.index, err = j.readIndex(ctx); err != nil {
		return nil, err
	}
	p, there := &passed{}, map[string]bool{}
	err = j.eachPage(ctx, func(page []unstructured.Unstructured) error {
		for i := range page {
			there[page[i].GetNamespace()+"/"+page[i].GetName()] = true
		}
		return j.batch(ctx, page, p)
	})
	if err != nil || ctx.Err() != nil {
		return p, err
	}
	p.deleted, err = j.noteGone(there)
	return p, err
}

// eachPage reads the sources in batches. Where what is read has expired meanwhile,
// it begins again.
func (j *job) eachPage(ctx context.Context, do func([]unstructured.Unstructured) error) error {
	from := j.t.Plan.From
	r := j.acc.Resource(j.source, from.Namespace)
	read := 0
	for next := ""; ctx.Err() == nil; {
		list, err := r.List(ctx, metav1.ListOptions{Limit: int64(j.t.Plan.BatchSize), Continue: next, LabelSelector: from.Selector})
		if apierrors.IsResourceExpired(err) && next != "" {
			next, read = "", 0
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", j.source.Resource.Resource, client.Explain(err))
		}
		read += len(list.Items)
		j.mu.Lock()
		j.total = max(j.total, read)
		if n := list.GetRemainingItemCount(); n != nil {
			j.total = max(read+int(*n), read)
		}
		j.mu.Unlock()
		if err := do(list.Items); err != nil {
			return err
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
	return nil
}

// batch works sources, a few at once, and keeps what was done. A source in hand is
// finished when ctx ends.
func (j *job) batch(ctx context.Context, page []unstructured.Unstructured, p *passed) error {
	var g errgroup.Group
	g.SetLimit(j.t.Plan.Parallelism)
	var mu sync.Mutex
	var records []*record
	var lost error // the API server does not answer
	for i := range page {
		g.Go(func() error {
			mu.Lock()
			stop := lost != nil || ctx.Err() != nil
			mu.Unlock()
			if stop {
				return nil
			}
			rec, err := j.one(ctx, page[i].Object, p)
			mu.Lock()
			defer mu.Unlock()
			if rec != nil {
				records = append(records, rec)
			}
			if err != nil && (client.Unreachable(err) || apierrors.IsTooManyRequests(err)) {
				lost = err
			}
			return nil
		})
	}
	_ = g.Wait() // each error stands with its source
	slices.SortFunc(records, func(a, b *record) int { return strings.Compare(a.key(), b.key()) })
	j.mu.Lock()
	err := j.s.add(records)
	j.mu.Unlock()
	j.tell(fmt.Sprintf("transform %s: writing", j.t.Plan.Name))
	return errors.Join(err, lost)
}

// one works one source: it returns its new record, or nil where nothing is new, or
// it failed, which is noted.
func (j *job) one(ctx context.Context, o map[string]any, p *passed) (*record, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sourceTimeout)
	defer cancel()
	u := &unstructured.Unstructured{Object: o}
	rec := &record{Namespace: u.GetNamespace(), Name: u.GetName(), UID: string(u.GetUID())}
	read := content(o)
	rec.Read = hash(read)
	j.mu.Lock()
	old := j.s.records[rec.key()]
	j.mu.Unlock()
	p.mu.Lock()
	p.lines = append(p.lines, rec.UID+" "+rec.Read)
	p.mu.Unlock()
	same := old != nil && !old.Gone && old.UID == rec.UID && old.Read == rec.Read
	if same && j.untouched(old) {
		j.good(rec.key())
		return nil, nil
	}
	err := guarded(func() error { return j.write(ctx, u, read, old, rec) })
	if err != nil {
		j.fails(rec.key(), err)
		return nil, err
	}
	j.good(rec.key())
	if same {
		return rec, nil // only its targets were touched, and are as they should be
	}
	p.mu.Lock()
	if old == nil || old.Gone || old.Read == "" {
		p.added++
	} else {
		p.changed++
	}
	p.mu.Unlock()
	j.mu.Lock()
	j.done++
	j.mu.Unlock()
	return rec, nil
}

// untouched reports whether all targets are as they were left.
func (j *job) untouched(rec *record) bool {
	for i := range rec.Targets {
		t := &rec.Targets[i]
		if o, ok := j.index[t.ID]; !t.Former && (!ok || o.version != t.Version || o.uid != t.UID) {
			return false
		}
	}
	return true
}

func guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return do()
}

func (j *job) fails(key string, err error) {
	j.mu.Lock()
	f := j.failed[key]
	if f == nil {
		f = &failure{}
		j.failed[key] = f
	}
	f.err, f.again = err, j.r.o.Now().Add(backoff(f.attempts))
	f.attempts++
	n := f.attempts
	j.mu.Unlock()
	j.r.metrics.failures.WithLabelValues(j.key.String(), j.t.Plan.Name).Inc()
	if n == 1 {
		j.r.o.Log.Warn("a source cannot be transformed and is tried again", "plan", j.key.String(), "transform", j.t.Plan.Name, "source", key, "err", err.Error())
	}
}

func (j *job) good(key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.failed, key)
}

// noteGone keeps that sources are not there any more.
func (j *job) noteGone(there map[string]bool) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var gone []*record
	for _, key := range sortedKeys(j.s.records) {
		rec := j.s.records[key]
		if rec.Gone || there[key] {
			continue
		}
		delete(j.failed, key)
		next := *rec
		next.Gone = true
		gone = append(gone, &next)
		for _, t := range rec.Targets {
			if j.claims[t.ID] == key {
				delete(j.claims, t.ID)
			}
		}
	}
	for key := range j.failed {
		if !there[key] {
			delete(j.failed, key)
		}
	}
	return len(gone), j.s.add(gone)
}

// retry tries failed sources again, each when it is its time, until none fails or
// ctx ends.
func (j *job) retry(ctx context.Context) error {
	for {
		j.tell("")
		due, next := j.due()
		if next.IsZero() || ctx.Err() != nil {
			return nil //nolint:nilerr // it was paused: who asks again goes on
		}
		if len(due) == 0 {
			sleep(ctx, max(next.Sub(j.r.o.Now()), 50*time.Millisecond))
			continue
		}
		var err error
		if j.index, err = j.readIndex(ctx); err != nil {
			return err
		}
		page, err := j.readAgain(ctx, due)
		if err != nil {
			return err
		}
		if err := j.batch(ctx, page, &passed{}); err != nil {
			return err
		}
	}
}

// due are the failed sources whose time it is, and when that of the next is.
func (j *job) due() (due []string, next time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.r.o.Now()
	for _, key := range sortedKeys(j.failed) {
		again := j.failed[key].again
		if !again.After(now) && len(due) < j.t.Plan.BatchSize {
			due = append(due, key)
		}
		if next.IsZero() || again.Before(next) {
			next = again
		}
	}
	return due, next
}

// readAgain reads sources anew; those that are gone fail no longer.
func (j *job) readAgain(ctx context.Context, keys []string) (page []unstructured.Unstructured, err error) {
	for _, key := range keys {
		namespace, name, _ := strings.Cut(key, "/")
		o, err := j.acc.Resource(j.source, namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			j.good(key) // the next pass notes that it is gone
		case err != nil:
			return nil, fmt.Errorf("read %s %s: %w", j.t.Plan.From.Kind, key, client.Explain(err))
		default:
			page = append(page, *o)
		}
	}
	return page, nil
}
