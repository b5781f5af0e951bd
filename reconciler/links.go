package reconciler

import (
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Plans that depend on one another, or conflict, are worked together. Who
// belongs together is told by the branch's head and by the versions that govern,
// which differ while a file is not valid or a plan is gone.

// groupOf is the plan with those that it is connected with, sorted.
func (r *Reconciler) groupOf(key plan.Key) []plan.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.group(key)
}

func (r *Reconciler) group(key plan.Key) []plan.Key {
	if g, ok := r.groups[key]; ok {
		return g
	}
	return []plan.Key{key}
}

// enqueue has a plan worked soon. The queue holds one plan of each group.
func (r *Reconciler) enqueue(key plan.Key) { r.queue.Add(r.groupOf(key)[0]) }

// enqueueAfter has a plan's group worked again when the time has passed.
func (r *Reconciler) enqueueAfter(key plan.Key, d time.Duration) {
	r.queue.AddAfter(r.groupOf(key)[0], d)
}

// link takes in with which plans the version that governs a plan is connected.
func (r *Reconciler) link(w *worker, links []plan.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(w.links, links) {
		w.links = links
		r.regroup()
	}
}

// regroup finds anew who belongs together, and has those worked whose group is
// another now. The caller holds r.mu.
func (r *Reconciler) regroup() {
	links := make(map[plan.Key][]plan.Key, len(r.plans))
	for key, w := range r.plans {
		links[key] = w.links
		if p := r.branch.plans[key].version.Plan; p != nil {
			links[key] = append(slices.Clone(w.links), p.Links()...)
		}
	}
	groups := map[plan.Key][]plan.Key{}
	for _, g := range plan.Groups(links) {
		if len(g) < 2 {
			continue
		}
		for _, key := range g {
			groups[key] = g
		}
	}
	old := r.groups
	r.groups = groups
	for key := range r.plans {
		if r.queue != nil && !slices.Equal(old[key], groups[key]) {
			r.queue.Add(r.group(key)[0])
		}
	}
}
