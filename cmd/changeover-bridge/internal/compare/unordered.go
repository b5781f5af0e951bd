package compare

// maxPairing is how many elements of each side are paired by trying; what is more
// is not comparable.
const maxPairing = 500

// unordered compares arrays whose elements may stand in any order: a pairing is
// looked for in which nothing differs. What finds no partner is told by the
// partner from which it differs least.
func (w *walk) unordered(rule int, a, b []any, at places) {
	inner := at.elements()
	before := w.mark()
	if len(a) == len(b) && w.inOrder(a, b, inner) {
		return
	}
	w.reset(before)
	restA, restB := a, b
	if len(inner) == 0 {
		restA, restB = w.unequal(a, b)
	}
	if len(restA) > maxPairing || len(restB) > maxPairing {
		w.steps = maxSteps + 1
		return
	}
	partner := w.pairing(restA, restB, inner)
	var lonely []any
	taken := make([]bool, len(restB))
	w.in("[*]", func() {
		for i, v := range restA {
			if partner[i] < 0 {
				lonely = append(lonely, v)
				continue
			}
			taken[partner[i]] = true
			w.value(v, restB[partner[i]], inner) // for its hits and pairs
		}
		w.closest(lonely, restB, taken, inner)
	})
	if len(w.found) == before.found {
		w.differ(Order, a, b, rule, true)
	}
}

// inOrder reports whether nothing differs as the elements stand. If so, what rules
// excuse is kept.
func (w *walk) inOrder(a, b []any, inner places) bool {
	before := w.mark()
	was := w.trial
	w.trial = true
	found := w.found
	w.found = nil // the first difference here is enough
	w.in("[*]", func() {
		for i := range a {
			if w.done() {
				return
			}
			w.value(a[i], b[i], inner)
		}
	})
	same := len(w.found) == 0
	w.found, w.trial = found, was
	if !same {
		w.reset(before)
	}
	return same && !w.spent()
}

// unequal are the elements that have no equal one on the other side.
func (w *walk) unequal(a, b []any) (restA, restB []any) {
	forms := make(map[string]int, len(b))
	of := func(v any) string {
		form := canonical(nil, v)
		w.steps += len(form)/8 + 1
		return string(form)
	}
	for _, v := range b {
		forms[of(v)]++
	}
	surplus := make(map[string]int, len(a))
	for _, v := range a {
		if f := of(v); forms[f] > 0 {
			forms[f]--
			surplus[f]++ // as many of b are taken
		} else {
			restA = append(restA, v)
		}
	}
	for _, v := range b {
		if f := of(v); surplus[f] > 0 {
			surplus[f]--
		} else {
			restB = append(restB, v)
		}
	}
	return restA, restB
}

// pairing gives as many elements as possible a partner from which they do not
// differ, by augmenting paths: partner[i] is the index in b, or -1.
func (w *walk) pairing(a, b []any, inner places) (partner []int) {
	partner = make([]int, len(a))
	owner := make([]int, len(b))
	for j := range owner {
		owner[j] = -1
	}
	equals := make([][]int, len(a))
	for i := range a {
		partner[i] = -1
		for j := range b {
			if w.tried(a[i], b[j], inner) {
				equals[i] = append(equals[i], j)
			}
		}
	}
	var seen []bool
	var augment func(i int) bool
	augment = func(i int) bool {
		for _, j := range equals[i] {
			if w.steps++; seen[j] || w.spent() {
				continue
			}
			seen[j] = true
			if owner[j] < 0 || augment(owner[j]) {
				owner[j], partner[i] = i, j
				return true
			}
		}
		return false
	}
	for i := range a {
		seen = make([]bool, len(b))
		augment(i)
	}
	return partner
}

// tried reports whether two elements do not differ; nothing of it is kept.
func (w *walk) tried(a, b any, inner places) bool {
	return w.distance(a, b, inner, true) == 0
}

// distance is how many places differ; first: one is enough to know.
func (w *walk) distance(a, b any, inner places, first bool) int {
	before := w.mark()
	was, found := w.trial, w.found
	w.trial, w.found = first, nil
	w.in("[*]", func() { w.value(a, b, inner) })
	n := len(w.found)
	w.trial, w.found = was, found
	w.reset(before)
	if w.spent() {
		return maxPlaces
	}
	return n
}

// closest tells what differs of elements without a partner.
func (w *walk) closest(lonely, b []any, taken []bool, inner places) {
	for _, v := range lonely {
		best, least := -1, maxPlaces+1
		for j := range b {
			if !taken[j] && !w.done() {
				if d := w.distanceHere(v, b[j], inner); d < least {
					best, least = j, d
				}
			}
		}
		if best < 0 {
			w.lone(Missing, v, nil, inner)
			continue
		}
		taken[best] = true
		w.value(v, b[best], inner)
	}
	for j := range b {
		if !taken[j] {
			w.lone(Added, nil, b[j], inner)
		}
	}
}

// distanceHere is distance where the path is that of the elements already.
func (w *walk) distanceHere(a, b any, inner places) int {
	before := w.mark()
	was, found := w.trial, w.found
	w.trial, w.found = false, nil
	w.value(a, b, inner)
	n := len(w.found)
	w.trial, w.found = was, found
	w.reset(before)
	return n
}
