package compare

import "sync"

// maxPairs of ids are kept; the oldest make room.
const maxPairs = 100_000

// id names an id of one side under one rule; its value is not kept.
type id [16]byte

// pair is an id of legacy and the one that modern has for the same thing.
type pair struct{ legacy, modern id }

// idPairs are the pairs that were seen: one to one. They are safe for use by several
// goroutines.
type idPairs struct {
	mu       sync.Mutex
	toModern map[id]id
	toLegacy map[id]id
	ring     []pair
	next     int
}

// fits reports whether a pair contradicts none that is known, nor one of those of
// the same answer.
func (p *idPairs) fits(n pair, same []pair) bool {
	for _, s := range same {
		if (s.legacy == n.legacy) != (s.modern == n.modern) {
			return false
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m, known := p.toModern[n.legacy]
	l, back := p.toLegacy[n.modern]
	return (!known || m == n.modern) && (!back || l == n.legacy)
}

// learn keeps the pairs of an answer.
func (p *idPairs) learn(pairs []pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range pairs {
		_, known := p.toModern[n.legacy]
		_, back := p.toLegacy[n.modern]
		if known || back {
			continue
		}
		if len(p.ring) < maxPairs {
			p.ring = append(p.ring, n)
		} else {
			old := p.ring[p.next]
			delete(p.toModern, old.legacy)
			delete(p.toLegacy, old.modern)
			p.ring[p.next] = n
			p.next = (p.next + 1) % maxPairs
		}
		p.toModern[n.legacy], p.toLegacy[n.modern] = n.modern, n.legacy
	}
}
