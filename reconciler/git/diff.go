package git

import "bytes"

// This file and merge.go answer as Git does when it merges a file's lines
// (xdiff: histogram diff, change compaction, zealous three-way merge), so that
// a revert built here equals what `git revert` gives.

// maxChain is how often a line may occur in a file to serve as an anchor, as
// in xdiff. Beyond it Git takes another algorithm; here the lines count as not
// mergeable.
const maxChain = 64

// splitLines cuts after each line feed. Terminators stay, so that CRLF and a
// missing last line feed count as differences.
func splitLines(b []byte) [][]byte {
	var out [][]byte
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		out = append(out, b[:n])
		b = b[n:]
	}
	return out
}

// side is one file of a diff: its lines as numbers, and which of them are
// changed. changed has a false before the first line and after the last.
type side struct {
	lines   []int
	changed []bool
}

func newSide(lines []int) *side {
	return &side{lines: lines, changed: make([]bool, len(lines)+2)}
}

func (s *side) is(i int) bool     { return s.changed[i+1] }
func (s *side) set(i int, c bool) { s.changed[i+1] = c }
func (s *side) mark(from, to int) {
	for i := from; i < to; i++ {
		s.set(i, true)
	}
}

// hunk replaces lines a0..a1 of the base with b0..b1.
type hunk struct{ a0, a1, b0, b1 int }

// diffLines returns the hunks from a to b; ok is false where the lines repeat
// too often for an answer.
func diffLines(a, b []int) (hunks []hunk, ok bool) {
	sa, sb := newSide(a), newSide(b)
	if !histogram(sa, sb, 0, len(a), 0, len(b)) {
		return nil, false
	}
	compact(sa, sb)
	compact(sb, sa)
	for i, j := 0, 0; i < len(a) || j < len(b); {
		h := hunk{a0: i, b0: j}
		for sa.is(i) {
			i++
		}
		for sb.is(j) {
			j++
		}
		h.a1, h.b1 = i, j
		if h.a0 != h.a1 || h.b0 != h.b1 {
			hunks = append(hunks, h)
		}
		i, j = i+1, j+1
	}
	return hunks, true
}

// histogram marks the changed lines of a[a0:a1] and b[b0:b1]: it finds the
// longest common run of the rarest lines and continues on both sides of it.
func histogram(a, b *side, a0, a1, b0, b1 int) bool {
	for a0 < a1 && b0 < b1 {
		l, ok := rarestRun(a.lines, b.lines, a0, a1, b0, b1)
		if !ok {
			return false
		}
		if l.a0 == l.a1 {
			break
		}
		if !histogram(a, b, a0, l.a0, b0, l.b0) {
			return false
		}
		a0, b0 = l.a1, l.b1
	}
	a.mark(a0, a1)
	b.mark(b0, b1)
	return true
}

// rarestRun finds the anchor; it is empty where nothing is common.
func rarestRun(a, b []int, a0, a1, b0, b1 int) (best hunk, ok bool) {
	at := map[int][]int{} // line -> where it is in a, ascending
	for i := a0; i < a1; i++ {
		at[a[i]] = append(at[a[i]], i)
	}
	count, common := maxChain+1, false
	for j := b0; j < b1; {
		next := j + 1
		where := at[b[j]]
		if len(where) > 0 {
			common = true
		}
		if len(where) > count {
			where = nil
		}
		for k := 0; k < len(where); {
			h := hunk{where[k], where[k] + 1, j, j + 1}
			rare := len(where)
			for h.a0 > a0 && h.b0 > b0 && a[h.a0-1] == b[h.b0-1] {
				h.a0, h.b0 = h.a0-1, h.b0-1
				rare = min(rare, len(at[a[h.a0]]))
			}
			for h.a1 < a1 && h.b1 < b1 && a[h.a1] == b[h.b1] {
				rare = min(rare, len(at[a[h.a1]]))
				h.a1, h.b1 = h.a1+1, h.b1+1
			}
			next = max(next, h.b1)
			if best.a1-best.a0 < h.a1-h.a0 || rare < count {
				best, count = h, rare
			}
			for k++; k < len(where) && where[k] < h.a1; k++ {
			}
		}
		j = next
	}
	return best, !common || count <= maxChain
}

// compact slides each run of changed lines of s as far down as it goes, joins
// runs that meet, and moves a run back to stand beside a run of the other
// side where it can.
func compact(s, other *side) {
	g, o := firstRun(s), firstRun(other)
	for {
		if g.end > g.start {
			beside, earliest := -1, 0
			for size := -1; size != g.end-g.start; {
				size = g.end - g.start
				beside = -1
				for g.slideUp() {
					o.previous()
				}
				earliest = g.end
				if o.end > o.start {
					beside = g.end
				}
				for g.slideDown() {
					o.next()
					if o.end > o.start {
						beside = g.end
					}
				}
			}
			if g.end != earliest && beside >= 0 {
				for o.end == o.start {
					g.slideUp()
					o.previous()
				}
			}
		}
		if !g.next() {
			return
		}
		o.next()
	}
}

// run is a run of changed lines, maybe empty, before an unchanged line or the
// end of the file.
type run struct {
	s          *side
	start, end int
}

func firstRun(s *side) *run {
	r := &run{s: s}
	r.grow()
	return r
}

func (r *run) grow() {
	for r.s.is(r.end) {
		r.end++
	}
}

func (r *run) next() bool {
	if r.end == len(r.s.lines) {
		return false
	}
	r.start = r.end + 1
	r.end = r.start
	r.grow()
	return true
}

func (r *run) previous() {
	r.end = r.start - 1
	r.start = r.end
	for r.s.is(r.start - 1) {
		r.start--
	}
}

func (r *run) slideDown() bool {
	if r.end >= len(r.s.lines) || r.s.lines[r.start] != r.s.lines[r.end] {
		return false
	}
	r.s.set(r.start, false)
	r.s.set(r.end, true)
	r.start++
	r.end++
	r.grow()
	return true
}

func (r *run) slideUp() bool {
	if r.start == 0 || r.s.lines[r.start-1] != r.s.lines[r.end-1] {
		return false
	}
	r.start--
	r.end--
	r.s.set(r.start, true)
	r.s.set(r.end, false)
	for r.s.is(r.start - 1) {
		r.start--
	}
	return true
}
