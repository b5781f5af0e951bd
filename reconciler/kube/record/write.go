package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// The functions of this file that take an object are for the holder of its
// turn.

func (r *Recorder) resource(key plan.Key) dynamic.ResourceInterface {
	return r.o.Client.Dynamic().Resource(api.Resource).Namespace(key.Namespace)
}

// get reads the live object.
func (r *Recorder) get(ctx context.Context, p *object) error {
	_, _, err := r.fetch(ctx, p)
	if errors.Is(err, errDamaged) {
		return nil // it is written anew
	}
	return err
}

// fetch reads the live object and the record in it; ok is false where there is
// none. A damaged record is errDamaged.
func (r *Recorder) fetch(ctx context.Context, p *object) (rec decide.Record, ok bool, err error) {
	u, err := r.resource(p.key).Get(ctx, p.key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		p.setLive(nil)
		p.begin()
		return rec, false, nil
	}
	if err != nil {
		return rec, false, fmt.Errorf("read MigrationPlan %s: %w", p.key, client.Explain(err))
	}
	p.setLive(look(u))
	if err := r.stranger(p.live); err != nil {
		return rec, false, err
	}
	status, err := readStatus(u)
	var record []byte
	if err == nil {
		rec, record, ok, err = recordIn(status)
	}
	if err != nil {
		err = fmt.Errorf("read status.record of MigrationPlan %s: %w; %s", p.key, err, remedy)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.based {
		p.base(status, record)
	}
	p.put, p.stored, p.generation = gist(status), p.live.status, status.ObservedGeneration
	if err != nil {
		p.put = sum{} // it is to be written anew
	}
	return rec, ok, err
}

// write brings the live object to what is wanted. It makes no call where that
// is so already.
func (r *Recorder) write(ctx context.Context, p *object) error {
	if err := r.isFenced(); err != nil {
		return err
	}
	err := r.tryWrite(ctx, p)
	// The object changed, or went, since it was read.
	for range 3 {
		if !apierrors.IsConflict(err) && !errors.Is(err, errGone) {
			break
		}
		p.read = false
		err = r.tryWrite(ctx, p)
	}
	switch {
	case err == nil:
		r.succeeded(p)
	case !errors.Is(err, errNoSpec) && !errors.Is(err, ErrFenced):
		r.failed(p, err)
	}
	return err
}

// errGone: the object was deleted since it was read.
var errGone = errors.New("the object was deleted")

func (r *Recorder) tryWrite(ctx context.Context, p *object) error {
	if !p.read {
		if err := r.get(ctx, p); err != nil {
			return err
		}
	}
	if err := r.stranger(p.live); err != nil {
		return err
	}
	if p.foreign(r.id) {
		return r.fence(p)
	}
	if p.settled(r.id) {
		if p.live == nil {
			return errNoSpec
		}
		return nil
	}
	if !p.mirrors() {
		if err := r.apply(ctx, p); err != nil {
			return err
		}
	}
	return r.putStatus(ctx, p)
}

// foreign reports whether another daemon wrote the live record since this one
// took it over.
func (p *object) foreign(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.live
	return l != nil && p.owned && l.by != "" && l.by != id && (l.serial > p.known || p.wrote)
}

// apply makes the object, or brings its spec back to what Git has.
func (r *Recorder) apply(ctx context.Context, p *object) error {
	p.mu.Lock()
	annotations := map[string]any{}
	for name, v := range map[string]string{
		api.PathAnnotation: p.path, render.RevisionAnnotation: string(p.revision), api.SourceAnnotation: r.o.Source,
	} {
		if v != "" {
			annotations[name] = v
		}
	}
	body, asked := map[string]any{
		"apiVersion": plan.APIVersion, "kind": plan.Kind, "spec": p.spec,
		"metadata": map[string]any{"namespace": p.key.Namespace, "name": p.key.Name, "annotations": annotations},
	}, p.specSum
	p.mu.Unlock()
	u, err := r.resource(p.key).Apply(ctx, p.key.Name, &unstructured.Unstructured{Object: body},
		metav1.ApplyOptions{FieldManager: render.FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("apply MigrationPlan %s: %w", p.key, explain(err))
	}
	p.setLive(look(u))
	p.appliedSpec, p.storedSpec = asked, p.live.spec
	return nil
}

// explain says what is missing where a plan cannot be made.
func explain(err error) error {
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) {
		if d := status.Status().Details; d == nil || d.Kind != "namespaces" {
			return errNoDefinition
		}
	}
	return client.Explain(err)
}

var errNoDefinition = errors.New("the API server does not know MigrationPlans: apply the CustomResourceDefinition of examples/install")

// putStatus writes the status. The resource version is the fence: it is refused
// where anybody wrote since.
func (r *Recorder) putStatus(ctx context.Context, p *object) error {
	status, want := p.wanted(r.id)
	b, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode the status of %s: %w", p.key, err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(b, &decoded); err != nil {
		return fmt.Errorf("encode the status of %s: %w", p.key, err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": plan.APIVersion, "kind": plan.Kind, "status": decoded,
		"metadata": map[string]any{"namespace": p.key.Namespace, "name": p.key.Name, "resourceVersion": p.live.version},
	}}
	u, err = r.resource(p.key).UpdateStatus(ctx, u, metav1.UpdateOptions{FieldManager: render.FieldManager})
	switch {
	case apierrors.IsNotFound(err):
		return errGone
	case err != nil:
		return fmt.Errorf("write the status of MigrationPlan %s: %w", p.key, client.Explain(err))
	}
	r.mu.Lock()
	r.down = time.Time{}
	r.mu.Unlock()
	p.setLive(look(u))
	p.put, p.stored, p.generation = want, p.live.status, status.ObservedGeneration
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrote = p.wrote || p.live.by == r.id
	p.known = max(p.known, status.RecordSerial)
	return nil
}

// fence stops this recorder: another daemon is at work. What the journals of
// this one have and the cluster never took is undone, so that it does not win
// by its serial at the next start.
func (r *Recorder) fence(p *object) error {
	p.mu.Lock()
	known := p.known
	p.mu.Unlock()
	err := fmt.Errorf("%w: %s was written with serial %d by %s; this daemon, %s, had serial %d; only one may work: see --leader-elect",
		ErrFenced, p.key, p.live.serial, p.live.by, r.id, known)
	r.mu.Lock()
	first := r.fenced == nil
	if first {
		r.fenced = err
	}
	r.mu.Unlock()
	if !first {
		return err
	}
	r.o.Log.Error("this daemon stops writing to the cluster", "err", err.Error())
	r.surrender(p)
	r.o.Fenced(err)
	return err
}

// surrender puts the cluster's record into the journal, where that is ahead of
// what the cluster took from it.
func (r *Recorder) surrender(p *object) {
	p.mu.Lock()
	ahead := p.serial > p.known
	p.mu.Unlock()
	if !ahead {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveDeadline)
	defer cancel()
	rec, ok, err := r.fetch(ctx, p)
	if err == nil && ok {
		err = r.o.Inner.Save(ctx, p.key, rec)
	}
	if err != nil {
		r.o.Log.Error("the journal could not be brought back to the record in the cluster", "plan", p.key.String(), "err", err.Error())
	}
}

func (r *Recorder) isFenced() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fenced
}

// wait is for how long nobody need try to write.
func (r *Recorder) wait(p *object) time.Duration {
	now := r.o.Now()
	r.mu.Lock()
	until := r.down
	r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retryAt.After(until) {
		until = p.retryAt
	}
	return until.Sub(now)
}

// failed notes a write that did not work, and tells of it once.
func (r *Recorder) failed(p *object, err error) {
	now := r.o.Now()
	if r.noteDown(err) {
		p.read = false // it may have been carried out all the same
	}
	p.mu.Lock()
	told := masked(p.problem) == masked(err.Error())
	p.problem, p.retryAt = err.Error(), now.Add(r.retries.When(p.key))
	p.mu.Unlock()
	if !told {
		r.o.Log.Warn("the plan cannot be recorded in the cluster; it is tried again", "plan", p.key.String(), "err", err.Error())
	}
}

// noteDown notes, and reports, that the server did not answer.
func (r *Recorder) noteDown(err error) bool {
	if !client.Unreachable(err) && !errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = r.o.Now().Add(downFor)
	return true
}

// isDown reports whether the server did not answer a moment ago.
func (r *Recorder) isDown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.down.After(r.o.Now())
}

// succeeded notes that the object is as wanted.
func (r *Recorder) succeeded(p *object) {
	r.retries.Forget(p.key)
	p.mu.Lock()
	had := p.problem != ""
	p.problem, p.retryAt, p.due = "", time.Time{}, time.Time{}
	p.mu.Unlock()
	if had {
		r.o.Log.Info("the plan is recorded in the cluster again", "plan", p.key.String())
	}
}

// list finds the plans with a record in the cluster.
func (r *Recorder) list(ctx context.Context) ([]plan.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, readDeadline)
	defer cancel()
	var keys []plan.Key
	o := metav1.ListOptions{Limit: 100}
	for {
		page, err := r.o.Client.Dynamic().Resource(api.Resource).List(ctx, o)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil // not even the definition is there
		case err != nil:
			return nil, fmt.Errorf("list MigrationPlans: %w", client.Explain(err))
		}
		for i := range page.Items {
			u := &page.Items[i]
			if _, ok, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "record"); ok && r.stranger(look(u)) == nil {
				keys = append(keys, plan.Key{Namespace: u.GetNamespace(), Name: u.GetName()})
			}
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return keys, nil
		}
	}
}
