// Package clients counts who is served by which side, in bounded memory: before a
// sunset somebody wants to know who still calls legacy.
package clients

import (
	"container/heap"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

const (
	// most clients are known for a side; after that whoever called least
	// makes room, and what is told is an upper bound.
	most = 1000
	// longest name, in bytes.
	longest = 120
	// nobody is the name of a client that gives none.
	nobody = "(none)"
)

// By says what a client is told by.
type By struct {
	header  string // canonical; empty: the address
	address bool
}

// ParseBy reads "user-agent", "address", "header:NAME" or "none".
func ParseBy(s string) (By, error) {
	name, ok := strings.CutPrefix(s, "header:")
	switch {
	case s == "none":
		return By{}, nil
	case s == "address":
		return By{address: true}, nil
	case s == "user-agent":
		return By{header: "User-Agent"}, nil
	case !ok || name == "" || strings.ContainsAny(name, " \t:,"):
		return By{}, fmt.Errorf("%q: want user-agent, address, header:NAME or none", s)
	}
	name = http.CanonicalHeaderKey(name)
	if slices.Contains([]string{"Authorization", "Cookie", "Proxy-Authorization"}, name) {
		return By{}, fmt.Errorf("%q: it holds secrets, which would be shown; name another header", s)
	}
	return By{header: name}, nil
}

// String is what ParseBy reads.
func (b By) String() string {
	switch {
	case b.address:
		return "address"
	case b.header == "User-Agent":
		return "user-agent"
	case b.header == "":
		return "none"
	}
	return "header:" + b.header
}

// None reports whether nobody is counted.
func (b By) None() bool { return b == By{} }

// Name of the client of a request.
func (b By) Name(r *http.Request, client netip.Addr) string {
	name := ""
	switch {
	case b.address && client.IsValid():
		return client.String()
	case b.header != "":
		name = r.Header.Get(b.header)
	}
	if name == "" {
		return nobody
	}
	return name[:min(len(name), longest)]
}

// Counter counts the clients of one plan. It is safe for use by several
// goroutines.
type Counter struct {
	by    By
	since time.Time
	sides map[plan.Side]*top
}

// New counts from a time on.
func New(by By, now time.Time) *Counter {
	return &Counter{by: by, since: now, sides: map[plan.Side]*top{
		plan.Legacy: newTop(most), plan.Modern: newTop(most),
	}}
}

// Seen notes a request that goes to a side.
func (c *Counter) Seen(side plan.Side, name string, now time.Time) { c.sides[side].seen(name, now) }

// Report is who called each side, the most frequent first.
func (c *Counter) Report() bridge.Clients {
	out := bridge.Clients{By: c.by.String(), Since: c.since, Sides: map[plan.Side]bridge.ClientsOfSide{}}
	for side, t := range c.sides {
		out.Sides[side] = t.report()
	}
	return out
}

// Since is when the counting began.
func (c *Counter) Since() time.Time { return c.since }

// Recent is how many of the known clients of a side have called since a time.
func (c *Counter) Recent(side plan.Side, since time.Time) (n int) {
	t := c.sides[side]
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		if e.last.After(since) {
			n++
		}
	}
	return n
}

// top is a stream summary by the space-saving algorithm of Metwally, Agrawal and
// El Abbadi: no client with more calls than the least of the known is missed.
type top struct {
	most    int
	mu      sync.Mutex
	total   int64
	known   map[string]*entry
	entries entries // a heap: the least first
}

func newTop(most int) *top { return &top{most: most, known: map[string]*entry{}} }

type entry struct {
	name  string
	count int64
	over  int64 // how much of count may be others'
	last  time.Time
	at    int // in the heap
}

func (t *top) seen(name string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	e, ok := t.known[name]
	switch {
	case ok:
		e.count++
		e.last = now
		heap.Fix(&t.entries, e.at)
	case len(t.entries) < t.most:
		e = &entry{name: strings.Clone(name), count: 1, last: now} // the request's memory is not kept
		t.known[e.name] = e
		heap.Push(&t.entries, e)
	default:
		e = t.entries[0]
		delete(t.known, e.name)
		e.name, e.over, e.count, e.last = strings.Clone(name), e.count, e.count+1, now
		t.known[e.name] = e
		heap.Fix(&t.entries, 0)
	}
}

func (t *top) report() bridge.ClientsOfSide {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := bridge.ClientsOfSide{Requests: t.total, Clients: make([]bridge.Client, 0, len(t.entries))}
	for _, e := range t.entries {
		out.Clients = append(out.Clients, bridge.Client{Name: printable(e.name), Requests: e.count, Over: e.over, Last: e.last})
	}
	slices.SortFunc(out.Clients, func(a, b bridge.Client) int {
		if a.Requests != b.Requests {
			return int(b.Requests - a.Requests)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// printable is a name without what would act on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(s, "."))
}

// entries are a container/heap.
type entries []*entry

func (h entries) Len() int           { return len(h) }
func (h entries) Less(i, j int) bool { return h[i].count < h[j].count }
func (h entries) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }
func (h *entries) Push(x any)        { e := x.(*entry); e.at = len(*h); *h = append(*h, e) }
func (h *entries) Pop() any          { panic("clients: nothing is taken from the heap") }
