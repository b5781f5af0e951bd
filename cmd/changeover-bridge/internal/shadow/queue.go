package shadow

import (
	"context"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/compare"
)

// Job is a request with its two answers.
type Job struct {
	Recorder *Recorder
	// Method and Path of the request as the client sent it.
	Method, Path   string
	Legacy, Modern compare.Answer
	// Again asks legacy once more; nil: that must not be. It is called off the
	// request's path.
	Again func(context.Context) compare.Answer

	second    *compare.Answer
	differing []int // places at which modern differs
}

// Bounds of the queue.
const (
	// MaxQueued jobs wait; more are dropped.
	MaxQueued = 128
	// MaxAgain is how many requests to legacy for the baseline are under way.
	MaxAgain = 16
)

// Why a comparison was dropped, beside what became of the copy.
const queueFull = "queue full"

// Queue runs jobs one after the other, off the request's path. It keeps a bounded
// number, never blocks, and has no goroutine while it is empty. The zero value is
// ready for use.
type Queue struct {
	mu      sync.Mutex
	jobs    []*Job
	again   int
	running bool
}

// Put takes a job, or drops and counts it.
func (q *Queue) Put(j *Job) {
	q.mu.Lock()
	full := len(q.jobs) >= MaxQueued
	if !full {
		q.jobs = append(q.jobs, j)
		if !q.running {
			q.running = true
			go q.run()
		}
	}
	q.mu.Unlock()
	if full && j.second == nil {
		j.Recorder.Dropped(j.Method, j.Path, queueFull)
	}
}

func (q *Queue) take() *Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		q.running, q.jobs = false, nil
		return nil
	}
	j := q.jobs[0]
	q.jobs[0], q.jobs = nil, q.jobs[1:]
	return j
}

func (q *Queue) run() {
	for j := q.take(); j != nil; j = q.take() {
		switch {
		case j.second != nil:
			j.Recorder.JudgeBaseline(j, time.Now())
		case j.Recorder.Judge(j, time.Now()):
			q.ask(j)
		}
	}
}

// ask asks legacy again, unless too many such requests are under way.
func (q *Queue) ask(j *Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.again >= MaxAgain {
		return
	}
	q.again++
	go func() {
		a := j.Again(context.Background())
		q.mu.Lock()
		q.again--
		q.mu.Unlock()
		j.second, j.Modern = &a, compare.Answer{}
		q.Put(j)
	}()
}
