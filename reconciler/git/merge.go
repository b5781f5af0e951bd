package git

import (
	"bytes"
	"slices"
)

// mergeLines merges two changes of one file. ok is false where they conflict,
// where one of the files is binary, or where the lines repeat too often.
func mergeLines(base, ours, theirs []byte) (merged []byte, ok bool) {
	for _, b := range [][]byte{base, ours, theirs} {
		if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			return nil, false
		}
	}
	numbers := map[string]int{}
	number := func(b []byte) (lines [][]byte, nums []int) {
		lines = splitLines(b)
		for _, l := range lines {
			n, ok := numbers[string(l)]
			if !ok {
				n = len(numbers)
				numbers[string(l)] = n
			}
			nums = append(nums, n)
		}
		return lines, nums
	}
	baseLines, baseNums := number(base)
	ourLines, ourNums := number(ours)
	theirLines, theirNums := number(theirs)
	ourHunks, ok := diffLines(baseNums, ourNums)
	if !ok {
		return nil, false
	}
	theirHunks, ok := diffLines(baseNums, theirNums)
	if !ok {
		return nil, false
	}
	m := merger{base: baseLines, sides: [2]mergeSide{{ourLines, ourNums, ourHunks, 0}, {theirLines, theirNums, theirHunks, 0}}}
	return m.merge()
}

type mergeSide struct {
	lines [][]byte
	nums  []int
	hunks []hunk
	shift int // lines of the side less lines of the base, before the next hunk
}

type merger struct {
	base  [][]byte
	sides [2]mergeSide
	out   []byte
	pos   int // in base
}

func (m *merger) merge() ([]byte, bool) {
	for {
		from, to, who := m.group()
		if who == 0 {
			m.keep(len(m.base))
			return m.out, true
		}
		m.keep(from)
		var text [2][]int
		var lines [2][][]byte
		for i := range m.sides {
			s := &m.sides[i]
			start := from + s.shift
			for len(s.hunks) > 0 && s.hunks[0].a0 <= to && who&(1<<i) != 0 {
				h := s.hunks[0]
				s.shift += (h.b1 - h.b0) - (h.a1 - h.a0)
				s.hunks = s.hunks[1:]
			}
			text[i], lines[i] = s.nums[start:to+s.shift], s.lines[start:to+s.shift]
		}
		take := lines[0]
		switch {
		case who == 2:
			take = lines[1]
		case who == 3 && !slices.Equal(text[0], text[1]):
			return nil, false
		}
		for _, l := range take {
			m.out = append(m.out, l...)
		}
		m.pos = to
	}
}

// keep copies the base up to a line.
func (m *merger) keep(to int) {
	for ; m.pos < to; m.pos++ {
		m.out = append(m.out, m.base[m.pos]...)
	}
}

// group returns the next stretch of the base that is changed, widened over all
// hunks that overlap or touch, and by whom: 1 ours, 2 theirs, 3 both, 0 none.
func (m *merger) group() (from, to, who int) {
	next := [2]int{}
	for {
		grew := false
		for i := range m.sides {
			s := &m.sides[i]
			if next[i] >= len(s.hunks) {
				continue
			}
			h, other := s.hunks[next[i]], &m.sides[1-i]
			first := who == 0 && (next[1-i] >= len(other.hunks) || h.a0 <= other.hunks[next[1-i]].a0)
			if !first && (who == 0 || h.a0 > to) {
				continue
			}
			if who == 0 {
				from, to = h.a0, h.a1
			}
			to, who, grew = max(to, h.a1), who|1<<i, true
			next[i]++
		}
		if !grew {
			return from, to, who
		}
	}
}
