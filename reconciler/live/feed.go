package live

import (
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Gate names a gate of a plan over all its revisions.
type Gate struct {
	Stop   plan.Position
	Effect plan.Effect
	Name   string
}

// GateOf is the gate of a result.
func GateOf(r gates.Result) Gate { return Gate{r.Stop, r.Effect, r.Name} }

// Trace is what was seen of one plan. It shares no memory with the Feed.
type Trace struct {
	// Values by the names that gates read them by.
	Values map[string]Series
	// Gates of the newest status, with their last verdicts.
	Gates map[Gate][]Run
}

// Feed takes every status and remembers. Its methods may be called from several
// goroutines; none waits for anybody. Use New.
type Feed struct {
	mu      sync.Mutex
	plans   map[plan.Key]*trace
	clients map[*Client]bool
	closed  chan struct{}
	once    sync.Once
}

type trace struct {
	gist   gist
	values map[string]Series
	gates  map[Gate]runs
}

// gist is what the list of all plans shows of one, but for what changes with
// every look.
type gist struct {
	state               reconciler.State
	verb                decide.Verb
	reason              decide.Reason
	declared, effective plan.Position
	halted              bool
}

// New is an empty feed.
func New() *Feed {
	return &Feed{plans: map[plan.Key]*trace{}, clients: map[*Client]bool{}, closed: make(chan struct{})}
}

// Put takes in the newest status of a plan.
func (f *Feed) Put(s reconciler.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.plans[s.Key]
	if t == nil {
		t = &trace{values: map[string]Series{}, gates: map[Gate]runs{}}
		f.plans[s.Key] = t
	}
	t.put(s)
	now := gist{s.State, s.Decision.Verb, s.Decision.Reason, s.Declared, s.Effective, s.Halt != nil}
	turned := now != t.gist
	t.gist = now
	for c := range f.clients {
		if c.key == s.Key || c.key == (plan.Key{}) && turned {
			c.wake()
		}
	}
}

func (t *trace) put(s reconciler.Status) {
	at := s.CheckedAt.UnixMilli()
	seen, read := map[Gate]bool{}, map[string]float64{}
	for _, r := range s.Gates {
		id := GateOf(r)
		if old, ok := t.gates[id]; ok || len(t.gates) < maxGates {
			seen[id], t.gates[id] = true, old.add(at, r.Verdict)
		}
		maps.Copy(read, r.Values)
	}
	maps.DeleteFunc(t.gates, func(id Gate, _ runs) bool { return !seen[id] })
	for name, old := range t.values {
		if _, ok := read[name]; ok {
			continue
		}
		if t.values[name] = old.add(Point{at, math.NaN()}); !t.values[name].known() {
			delete(t.values, name) // nothing is left of it in the window
		}
	}
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if old, ok := t.values[name]; ok || len(t.values) < maxValues {
			t.values[name] = old.add(Point{at, read[name]})
		}
	}
}

// known reports whether any point is known.
func (s Series) known() bool {
	return slices.ContainsFunc(s, func(p Point) bool { return !math.IsNaN(p.Value) })
}

// Trace is what was seen of a plan; empty where nothing was.
func (f *Feed) Trace(key plan.Key) Trace {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := Trace{Values: map[string]Series{}, Gates: map[Gate][]Run{}}
	t := f.plans[key]
	if t == nil {
		return out
	}
	for name, s := range t.values {
		out.Values[name] = slices.Clone(s)
	}
	for id, r := range t.gates {
		out.Gates[id] = slices.Clone(r)
	}
	return out
}

// Client waits for news of one plan, or of all.
type Client struct {
	feed *Feed
	key  plan.Key // zero: all
	news chan struct{}
}

// Join adds a client for news of a plan, or with the zero key for those of all
// that show in a list of them. ok is false where there are as many as may be, or
// the feed was closed. Leave must be called.
func (f *Feed) Join(key plan.Key) (c *Client, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		return nil, false
	default:
	}
	if len(f.clients) >= maxClient {
		return nil, false
	}
	c = &Client{feed: f, key: key, news: make(chan struct{}, 1)}
	f.clients[c] = true
	return c, true
}

// News has something once there is any since it was last read.
func (c *Client) News() <-chan struct{} { return c.news }

// Leave ends it.
func (c *Client) Leave() {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	delete(c.feed.clients, c)
}

func (c *Client) wake() {
	select {
	case c.news <- struct{}{}:
	default: // it has news that it did not read yet
	}
}

// Close sends all clients away, and lets none in any more: the server ends.
func (f *Feed) Close() { f.once.Do(func() { close(f.closed) }) }

// Closed is closed by Close.
func (f *Feed) Closed() <-chan struct{} { return f.closed }
