package gatewayapi

import "slices"

// What an HTTPRoute takes, by its definition.
const (
	maxRules       = 16
	maxRuleMatches = 64
	maxMatches     = 128
	maxHeaders     = 16
)

// tooMany bounds the work: so many matches come to fewer than maxMatches only
// where a plan is made for it.
const tooMany = 2 * maxMatches

// table holds the matches of each arm. Of the matches that take a request the
// one that beats all others decides what is done with it.
type table struct {
	arms    []arm
	matches [][]match // by arm
}

func newTable(arms []arm) *table { return &table{arms: arms, matches: make([][]match, len(arms))} }

// compile finds matches of which for every request one wins whose action is
// that of the first arm that takes the request. The last arm takes every
// request. Where there are too many it returns the route that needs them.
//
// It goes from the last arm to the first, and what it has is right for the arms
// so far. An arm that comes before them is to win all of its requests: it
// wins those of later matches that do not rank above its own match, and those
// of each that does by a match for what both take. Ranks do not sink when
// matches are joined, and between equals the earlier arm wins.
func compile(arms []arm) (t *table, route int, ok bool) {
	t = newTable(arms)
	for i := len(arms) - 1; i >= 0; i-- {
		exact, ok := behind(arms, i)
		if !ok {
			return nil, arms[i].route, false
		}
		for _, m := range arms[i].matches {
			t.merge(exact)
			if !t.add(i, m) {
				return nil, arms[i].route, false
			}
		}
	}
	for t.reduce() {
	}
	return t, 0, true
}

// behind is the table of the arms behind i for the path that i's matches take
// and i does not; empty where there is no such path. Its matches are exact, so
// they win over i's.
func behind(arms []arm, i int) (t *table, ok bool) {
	t = newTable(arms)
	for j := len(arms) - 1; j > i; j-- {
		if arms[i].missing == "" || !arms[j].takesPath(arms[i].missing) {
			continue
		}
		for _, m := range arms[j].matches {
			m.path, m.exact = arms[i].missing, true
			if !t.add(j, m) {
				return nil, false
			}
		}
	}
	return t, true
}

// add puts a match of an arm before all that there are of later arms. It returns
// false where there are too many then.
func (t *table) add(i int, m match) bool {
	found := []match{m}
	for j := i + 1; j < len(t.arms); j++ {
		if t.arms[j].action == t.arms[i].action {
			continue
		}
		for _, other := range t.matches[j] {
			if rank(other, m) > 0 && (!other.exact || other.path != t.arms[i].missing) && meet(m, other) {
				found = append(found, join(m, other))
			}
		}
	}
	t.put(i, found)
	t.reduce()
	return t.size() <= tooMany
}

// merge adds the matches of another table. Where each is right for some
// requests, the two together are.
func (t *table) merge(other *table) {
	for i, matches := range other.matches {
		t.put(i, matches)
	}
}

func (t *table) put(i int, matches []match) {
	for _, m := range matches {
		if !slices.ContainsFunc(t.matches[i], func(x match) bool { return equal(x, m) }) {
			t.matches[i] = append(t.matches[i], m)
		}
	}
}

func (t *table) size() int {
	n := 0
	for _, matches := range t.matches {
		n += len(matches)
	}
	return n
}

// reduce takes out the matches without which every request is treated as with
// them, the most lately made first, and reports whether there were any.
func (t *table) reduce() bool {
	reduced := false
	for i := len(t.matches) - 1; i >= 0; i-- {
		for k := len(t.matches[i]) - 1; k >= 0; k-- {
			if t.needless(i, t.matches[i][k]) {
				t.matches[i] = slices.Delete(t.matches[i], k, k+1)
				reduced = true
			}
		}
	}
	return reduced
}

// needless reports whether a match never wins, or whether another one with the
// same action would win in its place.
func (t *table) needless(i int, m match) bool {
	for j := range t.arms {
		for _, other := range t.matches[j] {
			switch {
			case !covers(other, m) || i == j && equal(other, m):
			case i != j && t.beats(j, other, i, m), t.arms[i].action == t.arms[j].action && t.replaces(j, other, i, m):
				return true
			}
		}
	}
	return false
}

// beats reports whether a match wins over one of another arm where both take a
// request.
func (t *table) beats(i int, m match, j int, other match) bool {
	r := rank(m, other)
	return r > 0 || r == 0 && i < j
}

// replaces reports whether the match m of arm i, which takes all that other of
// arm j does, wins where other does.
func (t *table) replaces(i int, m match, j int, other match) bool {
	for k := range t.arms {
		if t.arms[k].action == t.arms[j].action {
			continue
		}
		for _, rival := range t.matches[k] {
			if !t.beats(i, m, k, rival) && !t.beats(k, rival, j, other) && meet(rival, other) {
				return false
			}
		}
	}
	return true
}
