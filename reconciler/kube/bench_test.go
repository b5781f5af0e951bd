package kube

import (
	"fmt"
	"testing"
	"time"
)

const benched = 100 // objects

// perObject reports the time of one iteration for one object.
func perObject(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/benched, "µs/object")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkApply(b *testing.B) {
	r := setup(b)
	i := 0
	for b.Loop() {
		i++
		d := r.want(many(benched))
		for _, o := range d.Objects {
			o["data"] = map[string]any{"round": fmt.Sprint(i)}
		}
		r.expand(d)
	}
	perObject(b)
}

func BenchmarkApplyNothingNew(b *testing.B) {
	r := setup(b)
	d := r.want(many(benched))
	r.expand(d)
	for b.Loop() {
		r.expand(d)
	}
	perObject(b)
}

func BenchmarkObserve(b *testing.B) {
	r := setup(b)
	d := r.want(many(benched))
	r.bring(d)
	for b.Loop() {
		r.observe(d)
	}
	perObject(b)
}

func BenchmarkObserveWatched(b *testing.B) {
	r := setup(b)
	r.watch()
	text := many(benched)
	d := r.want(text)
	r.bring(d)
	r.settle(text)
	for b.Loop() {
		r.observe(d)
	}
	perObject(b)
	if got := r.requests.take(); len(got) > 0 {
		b.Errorf("asked %v", got)
	}
}

func BenchmarkPrune(b *testing.B) {
	r := setup(b)
	all, none := r.want(many(benched)), r.want(settings)
	none.MaxPrune = benched
	var took time.Duration
	n := 0
	for b.Loop() {
		r.expand(all)
		r.expand(none)
		begun := time.Now()
		must(b, r.c.Contract(r.ctx(), none))
		took += time.Since(begun)
		n++
	}
	b.ReportMetric(float64(took.Microseconds())/float64(n)/benched, "µs/object")
	b.ReportMetric(0, "ns/op")
}
