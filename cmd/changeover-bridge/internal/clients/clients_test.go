package clients

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// TestNoFrequentClientIsMissed, whatever the stream: counts are no less than the
// truth, less what they may be over no more, and who calls more often than one in
// as many as are known is known.
func TestNoFrequentClientIsMissed(t *testing.T) {
	const capacity = 20
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		zipf := rand.NewZipf(random, 1.01+random.Float64(), 1, 500)
		s, truth := newTop(capacity), map[string]int64{}
		const n = 5000
		for range n {
			name := fmt.Sprint("client-", zipf.Uint64())
			truth[name]++
			s.seen(name, noon)
		}
		got := s.report()
		known := map[string]bridge.Client{}
		for i, c := range got.Clients {
			known[c.Name] = c
			if is := truth[c.Name]; c.Requests < is || c.Requests-c.Over > is {
				t.Fatalf("seed %d: %+v, and the truth is %d", seed, c, is)
			}
			if i > 0 && c.Requests > got.Clients[i-1].Requests {
				t.Fatalf("seed %d: not in order", seed)
			}
		}
		if got.Requests != n || len(got.Clients) > capacity {
			t.Fatalf("seed %d: %d requests of %d clients", seed, got.Requests, len(got.Clients))
		}
		for name, count := range truth {
			if _, ok := known[name]; !ok && count > n/capacity {
				t.Errorf("seed %d: %s with %d of %d requests is missed", seed, name, count, n)
			}
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := New(By{header: "User-Agent"}, noon)
	for i := range 5 * most {
		c.Seen(plan.Legacy, fmt.Sprint(i), noon)
	}
	if n := len(c.Report().Sides[plan.Legacy].Clients); n != most {
		t.Errorf("%d are known, want %d", n, most)
	}
	if n := len(c.sides[plan.Legacy].known); n != most {
		t.Errorf("%d names are kept, want %d", n, most)
	}
}

func TestWhatAClientIsToldBy(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("User-Agent", "curl/8")
	r.Header.Set("X-Team", strings.Repeat("x", 500))
	addr := netip.MustParseAddr("192.0.2.7")
	for by, want := range map[string]string{
		"user-agent": "curl/8", "address": "192.0.2.7", "header:x-team": strings.Repeat("x", longest), "header:X-None": nobody,
	} {
		b, err := ParseBy(by)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Name(r, addr); got != want {
			t.Errorf("%s: %q, want %q", by, got, want)
		}
		if back, err := ParseBy(b.String()); err != nil || back != b {
			t.Errorf("%s is read back as %v, %v", b, back, err)
		}
	}
	for _, bad := range []string{"", "agent", "header:", "header:a b", "header:authorization", "header:Cookie"} {
		if b, err := ParseBy(bad); err == nil {
			t.Errorf("%q is taken as %s", bad, b)
		}
	}
	if none, err := ParseBy("none"); err != nil || !none.None() {
		t.Errorf("none: %v, %v", none, err)
	}
}

func TestWhoCalledLately(t *testing.T) {
	c := New(By{address: true}, noon)
	c.Seen(plan.Legacy, "a", noon)
	c.Seen(plan.Legacy, "b\x1b[31m", noon.Add(time.Hour))
	c.Seen(plan.Modern, "c", noon.Add(time.Hour))
	if n := c.Recent(plan.Legacy, noon); n != 1 {
		t.Errorf("%d called after noon, want one", n)
	}
	if got := c.Report().Sides[plan.Legacy].Clients[1].Name; got != "b.[31m" {
		t.Errorf("the name is told as %q", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	c := New(By{address: true}, noon)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				c.Seen(plan.Legacy, fmt.Sprint(i%7), noon)
				if i%100 == 0 {
					c.Report()
					c.Recent(plan.Legacy, noon)
				}
			}
		})
	}
	all.Wait()
	if n := c.Report().Sides[plan.Legacy].Requests; n != 16000 {
		t.Errorf("%d requests", n)
	}
}

func BenchmarkSeen(b *testing.B) {
	names := make([]string, 5*most)
	for i := range names {
		names[i] = fmt.Sprint("client-", i)
	}
	for _, n := range []int{1, 100, len(names)} {
		b.Run(fmt.Sprint(n, "-clients"), func(b *testing.B) {
			c := New(By{address: true}, noon)
			i := 0
			for b.Loop() {
				c.Seen(plan.Legacy, names[i%n], noon)
				i++
			}
		})
	}
}
