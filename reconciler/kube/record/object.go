package record

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/render"
)

// sum names the content of a part of an object.
type sum [sha256.Size]byte

// object is what is wanted of one MigrationPlan, and what is known of the live
// one.
type object struct {
	key plan.Key
	// turn is held by who talks to the API server about the object.
	turn chan struct{}

	// These are for the holder of turn.
	read bool // whether live is known
	// put is the status that was last written or found, by asked; stored is
	// what the server made of it.
	put, stored sum
	generation  int64 // that the status speaks of
	// appliedSpec is the spec that was last applied, as asked; storedSpec is
	// what the server made of it.
	appliedSpec, storedSpec sum

	mu       sync.Mutex
	live     *seen // nil: there is none, or it was not read
	based    bool  // the first look is over: what is there since is this daemon's
	spec     map[string]any
	specSum  sum
	path     string
	revision plan.Revision
	status   api.MigrationPlanStatus // all of it but what write fills in
	record   []byte
	serial   int64
	owned    bool               // a record was loaded, found absent, or saved
	known    int64              // the newest serial that was taken over or written here
	wrote    bool               // this daemon wrote the live record
	last     *reconciler.Status // what the conditions were made of
	gone     types.UID          // was seen to be deleted
	lost     bool               // the watch does not know the live object
	problem  string
	retryAt  time.Time
	driftAt  time.Time // others changed the object
	patience time.Time // until then others may have it as they like
	due      time.Time // until then more may come that is written together; zero: nothing waits
}

// seen is a live object, as far as it counts.
type seen struct {
	uid          types.UID
	version      string // resourceVersion
	generation   int64
	path         string
	revision     string
	source       string
	spec, status sum
	recorded     bool // there is a record, good or not
	serial       int64
	by           string
}

// look reads a live object.
func look(u *unstructured.Unstructured) *seen {
	l := &seen{
		uid: u.GetUID(), version: u.GetResourceVersion(), generation: u.GetGeneration(),
		path: u.GetAnnotations()[api.PathAnnotation], revision: u.GetAnnotations()[render.RevisionAnnotation],
		source: u.GetAnnotations()[api.SourceAnnotation],
		spec:   sumOf(u.Object["spec"]), status: sumOf(u.Object["status"]),
	}
	l.serial, _, _ = unstructured.NestedInt64(u.Object, "status", "recordSerial") // anything else is none
	l.by, _, _ = unstructured.NestedString(u.Object, "status", "recordedBy")
	_, l.recorded, _ = unstructured.NestedFieldNoCopy(u.Object, "status", "record")
	l.recorded = l.recorded || l.serial != 0
	return l
}

// ErrStranger says that the daemon of another repository keeps a plan of that
// name.
var ErrStranger = errors.New("the daemon of another repository or branch keeps a MigrationPlan of this name")

// stranger refuses an object that the daemon of another source keeps.
func (r *Recorder) stranger(l *seen) error {
	if l == nil || l.source == "" || r.o.Source == "" || l.source == r.o.Source {
		return nil
	}
	return fmt.Errorf("%w: that of %s; rename one of the two plans, or, where the repository has moved, delete the object: it is made anew", ErrStranger, l.source)
}

// sumOf is that of the canonical JSON of a value that JSON can hold.
func sumOf(v any) sum {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode a part of an object: %v", err)) // it was decoded from JSON
	}
	return sha256.Sum256(b)
}

// take waits for the turn.
func (p *object) take(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *object) give() { <-p.turn }

// setLive notes the live object; nil: there is none.
func (p *object) setLive(l *seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live, p.read = l, true
}

// takeOver notes that this daemon goes on from a record, whoever wrote it; ok is
// false where there is none. It is one step: a writer that found the record and
// not its serial would take it for that of another daemon at work.
func (p *object) takeOver(rec decide.Record, ok bool) error {
	b, err := encode(bounded(rec))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known, p.wrote, p.owned = rec.Serial, false, true
	if p.live != nil {
		p.known = max(p.known, p.live.serial)
	}
	if !ok || err != nil {
		return err
	}
	p.record, p.serial = b, rec.Serial
	return p.fit()
}

// gather has what changed wait for more to come.
func (p *object) gather(now time.Time, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := now.Add(d); p.due.IsZero() || at.Before(p.due) {
		p.due = at
	}
}

// setRecord has the record written.
func (p *object) setRecord(rec decide.Record) error {
	b, err := encode(bounded(rec))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record, p.serial, p.owned = b, rec.Serial, true
	return p.fit()
}

// append adds to the history.
func (p *object) append(e reconciler.Entry) error {
	entry, err := entryOf(e)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.History = newest(append(slices.Clone(p.status.History), entry))
	return p.fit()
}

// newest keeps the entries that the status has room for.
func newest(h []api.Entry) []api.Entry { return h[max(0, len(h)-maxHistory):] }

// setStatus takes in what the daemon knows of the plan.
func (p *object) setStatus(s reconciler.Status, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Plan != nil {
		if err := p.setSpec(s); err != nil {
			return err
		}
	}
	old := p.status
	p.status = statusOf(s)
	p.status.History, p.status.Conditions, p.status.ObservedGeneration = old.History, old.Conditions, old.ObservedGeneration
	p.status.Revision = old.Revision // of a plan that is gone
	p.last = kept(s)
	p.sense(now)
	return p.fit()
}

// setSpec has the spec mirrored. The revision stays where the spec does: it is
// that at which the spec was first seen.
func (p *object) setSpec(s reconciler.Status) error {
	b, err := json.Marshal(s.Plan.Spec)
	if err != nil {
		return fmt.Errorf("encode the spec: %w", err)
	}
	var spec map[string]any
	if err := json.Unmarshal(b, &spec); err != nil {
		return fmt.Errorf("encode the spec: %w", err)
	}
	n := sumOf(spec)
	if p.spec != nil && n == p.specSum && s.Path == p.path {
		return nil
	}
	first := p.spec == nil
	p.spec, p.specSum, p.path, p.revision = spec, n, s.Path, s.Head
	if first {
		p.keepRevision()
	}
	return nil
}

// keepRevision takes the revision from a live object that has the spec already:
// this daemon began after it was made.
func (p *object) keepRevision() {
	if p.live != nil && p.spec != nil && p.live.spec == p.specSum && p.live.path == p.path && p.live.revision != "" {
		p.revision = plan.Revision(p.live.revision)
	}
}

// sense makes the conditions from the last status.
func (p *object) sense(now time.Time) {
	if p.last == nil {
		return
	}
	p.status.Conditions = conditions(p.status.Conditions, *p.last, p.status.ObservedGeneration, now)
}

// begin notes that there was nothing to take in.
func (p *object) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.based = true
}

// base takes in the first live object that is read: what this daemon does not
// know yet stays as it was.
func (p *object) base(status api.MigrationPlanStatus, record []byte) {
	p.based = true
	p.keepRevision()
	if p.last == nil {
		h := p.status.History
		p.status = status
		p.status.History = newest(append(slices.Clone(status.History), h...))
	} else {
		p.status.History = newest(append(slices.Clone(status.History), p.status.History...))
		p.status.Conditions = since(status.Conditions, p.status.Conditions)
	}
	if p.record == nil && record != nil {
		p.record, p.serial = record, status.RecordSerial
	}
}

// wanted is the status to write, and its sum without what alone is no reason to
// write it.
func (p *object) wanted(id string) (api.MigrationPlanStatus, sum) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	if p.spec != nil {
		s.Revision = string(p.revision)
	}
	s.Conditions = slices.Clone(s.Conditions)
	if p.live != nil && p.spec != nil {
		s.ObservedGeneration = p.live.generation
		p.status.ObservedGeneration = s.ObservedGeneration
	}
	for i := range s.Conditions {
		s.Conditions[i].ObservedGeneration = s.ObservedGeneration
	}
	s.Record, s.RecordSerial, s.RecordDigest, s.RecordedBy = nil, 0, "", ""
	if p.record != nil {
		s.Record, s.RecordSerial, s.RecordDigest, s.RecordedBy = raw(p.record), p.serial, digest(p.record), id
	}
	return s, gist(s)
}

// gist is the sum of a status without the generation, the writer, the numbers
// in messages and the times at which blocks end.
func gist(s api.MigrationPlanStatus) sum {
	s.ObservedGeneration, s.RecordedBy, s.Record = 0, "", nil // the digest stands for the record
	s.Message, s.Blocks = masked(s.Message), maskedBlocks(s.Blocks)
	s.Conditions = slices.Clone(s.Conditions)
	for i := range s.Conditions {
		s.Conditions[i].Message, s.Conditions[i].ObservedGeneration = masked(s.Conditions[i].Message), 0
	}
	return sumOf(s)
}

// mirrors reports whether the live object has the spec that is wanted.
func (p *object) mirrors() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spec == nil {
		return p.live != nil
	}
	return p.live != nil && p.live.path == p.path && p.live.revision == string(p.revision) &&
		(p.live.spec == p.specSum || p.appliedSpec == p.specSum && p.live.spec == p.storedSpec)
}

// settled reports whether nothing is to be written.
func (p *object) settled(id string) bool {
	p.mu.Lock()
	owned, nothing := p.owned, p.live == nil && p.spec == nil
	p.mu.Unlock()
	switch {
	case !p.read:
		return false
	case nothing, p.live != nil && p.live.recorded && !owned: // nothing to make it of; a record that was not loaded
		return true
	case !p.mirrors():
		return false
	}
	_, want := p.wanted(id)
	return want == p.put && p.live.status == p.stored && (p.spec == nil || p.generation == p.live.generation)
}

// entries is the history in the status.
func (p *object) entries() []reconciler.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]reconciler.Entry, 0, len(p.status.History))
	for _, e := range p.status.History {
		if entry, ok := entryFrom(e); ok {
			out = append(out, entry)
		}
	}
	return out
}

// shown is the status as the object shows it.
func (p *object) shown() (reconciler.Status, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.State == "" {
		return reconciler.Status{}, false
	}
	s := statusFrom(p.key, p.status, p.record)
	s.Path = p.path
	if p.spec == nil && p.live != nil {
		s.Path = p.live.path
	}
	return s, true
}

// since gives conditions the times of earlier ones with the same status.
func since(previous, now []metav1.Condition) []metav1.Condition {
	now = slices.Clone(now)
	for i, c := range now {
		for _, old := range previous {
			if old.Type == c.Type && old.Status == c.Status && old.LastTransitionTime.Before(&c.LastTransitionTime) {
				now[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return now
}
