package entities

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/entity"
)

// Kind of a finding.
type Kind string

// The kinds; see the package.
const (
	Orphaned      Kind = "orphaned"
	Unknown       Kind = "unknown"
	DoubleClaimed Kind = "doubleClaimed"
	Mismatched    Kind = "mismatched"
)

// Finding is one entity with which something is wrong.
type Finding struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"` // "": it has none
	// Owner as the table has it; "": it does not have it.
	Owner plan.Side `json:"owner,omitempty"`
	// Elsewhere: of an orphan, the other side serves it.
	Elsewhere bool   `json:"elsewhere,omitempty"`
	Why       string `json:"why"`
}

// Counts are what a check found; see gates.Entities.
type Counts struct {
	Total         int64 `json:"total"`
	Legacy        int64 `json:"legacy"`
	Modern        int64 `json:"modern"`
	InFlight      int64 `json:"inFlight"`
	Orphaned      int64 `json:"orphaned"`
	Unknown       int64 `json:"unknown"`
	DoubleClaimed int64 `json:"doubleClaimed"`
	Mismatched    int64 `json:"mismatched"`
	// New are on legacy alone and not in the table yet; they count as legacy's.
	New int64 `json:"new"`
	// Ended are no more; they count nowhere else.
	Ended int64 `json:"ended"`
	// Compared are those whose fields were compared, Unasked those where a side
	// could not be asked for them.
	Compared int64 `json:"compared"`
	Unasked  int64 `json:"unasked"`
}

// Options of a Checker.
type Options struct {
	Plan     plan.Key
	Entities *plan.Entities
	Store    ownership.Store
	// Legacy and Modern are the inventories; Modern is nil where the plan names
	// none.
	Legacy, Modern inventory.Source
	Program        *entity.Program
	Caller         *call.Caller
	// Seed: what is new on legacy is added to the table.
	Seed bool
	// Dir is where what does not fit into Memory is sorted; Memory is in bytes,
	// 16 MiB where zero.
	Dir    string
	Memory int
	// Pause before what was found for the first time is looked at again; 5s where
	// zero.
	Pause time.Duration
	// Progress is told how many records were read and entities judged; nil: nobody.
	Progress func(read, judged int64)
	Now      func() time.Time
}

// maxFindings is how many findings are told; all are counted.
const maxFindings = 10_000

// Checker checks the entities of one plan. One check at a time.
type Checker struct {
	o     Options
	round uint64
	seed  maphash.Seed
	// confirmed is what was found before.
	confirmed map[uint64]struct{}
}

// New returns a Checker.
func New(o Options) *Checker {
	o.Memory, o.Pause = cmp.Or(o.Memory, 16<<20), cmp.Or(o.Pause, 5*time.Second)
	return &Checker{o: o, seed: maphash.MakeSeed()}
}

// key of a finding.
func (c *Checker) key(f Finding) uint64 { return maphash.String(c.seed, string(f.Kind)+"/"+f.ID) }

// Check compares all entities, and calls each for the findings in the order of the
// ids, at most 10,000 of them. An error: there is no result.
func (c *Checker) Check(ctx context.Context, each func(Finding)) (Counts, error) {
	c.round++
	var told []Finding
	keys, fresh := map[uint64]struct{}{}, false
	tell := func(f Finding) bool {
		if len(told) < maxFindings {
			told = append(told, f)
		}
		return true
	}
	counts, err := c.pass(ctx, func(f Finding) bool {
		k := c.key(f)
		keys[k] = struct{}{}
		_, before := c.confirmed[k]
		fresh = fresh || !before
		return tell(f)
	})
	if err != nil {
		return Counts{}, err
	}
	if fresh {
		if !pause(ctx, c.o.Pause) {
			return Counts{}, ctx.Err()
		}
		again := map[uint64]struct{}{}
		told = told[:0]
		// Of the same sample, so that only what was found before can be found.
		if counts, err = c.pass(ctx, func(f Finding) bool {
			k := c.key(f)
			if _, before := keys[k]; !before {
				return false
			}
			again[k] = struct{}{}
			return tell(f)
		}); err != nil {
			return Counts{}, err
		}
		keys = again
	}
	c.confirmed = keys
	for _, f := range told {
		each(f)
	}
	return counts, nil
}

// pass goes through all once. Found says whether a finding counts.
func (c *Checker) pass(ctx context.Context, found func(Finding) bool) (Counts, error) {
	s := &sorter{dir: c.o.Dir, memory: c.o.Memory}
	defer s.close()
	p := &pass{c: c, ctx: ctx, found: found}
	if err := p.table(s); err != nil {
		return Counts{}, err
	}
	if err := p.inventory(s, c.o.Legacy, legacyRecord); err != nil {
		return Counts{}, err
	}
	if c.o.Modern != nil {
		if err := p.inventory(s, c.o.Modern, modernRecord); err != nil {
			return Counts{}, err
		}
	}
	p.ask()
	err := s.groups(p.judge)
	p.answered()
	if err == nil {
		err = p.seed()
	}
	if err != nil {
		return Counts{}, err
	}
	p.counts.Total = p.counts.Legacy + p.counts.Modern + p.counts.Unknown
	p.tell()
	return p.counts, nil
}

// pass is one way through all entities.
type pass struct {
	c      *Checker
	ctx    context.Context
	found  func(Finding) bool
	counts Counts

	read, judged, listed int64
	fresh                []ownership.Entity // new on legacy, to be added

	// What asks the sides for entities, several at once.
	questions chan question
	askers    sync.WaitGroup
	answers   sync.Mutex // held while counts and findings are written meanwhile
}

// tablePage is how many rows of the table are read at once.
const tablePage = 10_000

// table reads the ownership table. A row that changes meanwhile comes again.
func (p *pass) table(s *sorter) error {
	for after := int64(0); ; {
		page, err := p.c.o.Store.Changes(p.ctx, p.c.o.Plan, after, tablePage)
		if err != nil {
			return err
		}
		for _, e := range page.Entities {
			r := record{id: e.ID, from: tableRecord}
			if e.Owner == plan.Modern {
				r.flags |= flagModern
			}
			switch e.Origin {
			case ownership.Ended:
				r.flags |= flagEnded
			case ownership.Migrated:
				r.flags |= flagMigrated
			case ownership.BornLegacy, ownership.BornModern:
			}
			if err := p.add(s, r); err != nil {
				return err
			}
			after = e.Revision
		}
		if len(page.Entities) < tablePage {
			return nil
		}
	}
}

func (p *pass) inventory(s *sorter, from inventory.Source, side byte) error {
	keep := p.keeps(side)
	return from.List(p.ctx, func(it inventory.Item) error {
		if it.ID == "" {
			p.report(Finding{Kind: Unknown, Why: sideOf(side) + " lists an item whose id cannot be read: " + it.Bad})
			return nil
		}
		r := record{id: it.ID, from: side}
		if it.Live {
			r.flags |= flagLive
		}
		if side == legacyRecord {
			p.listed++
			busy, err := p.c.o.Program.InFlight(p.ctx, it.Value)
			if err != nil && it.Bad == "" {
				it.Bad = err.Error()
			}
			if busy {
				r.flags |= flagInFlight
			}
		}
		switch {
		case it.Bad != "":
			r.flags |= flagBad
			r.data = []byte(it.Bad)
		case keep:
			b, err := json.Marshal(it.Value)
			if err != nil {
				return fmt.Errorf("keep item %q: %w", it.ID, err)
			}
			r.data = b
		}
		return p.add(s, r)
	})
}

// keeps reports whether the items of a side are compared, or sent in calls.
func (p *pass) keeps(side byte) bool {
	v := p.c.o.Entities.Verify
	if v == nil {
		return false
	}
	if side == legacyRecord {
		return true // calls read item
	}
	return v.Modern == nil
}

func (p *pass) add(s *sorter, r record) error {
	if p.read++; p.read%1000 == 0 {
		p.tell()
		if err := p.ctx.Err(); err != nil {
			return err
		}
	}
	return s.add(r)
}

func (p *pass) tell() {
	if p.c.o.Progress != nil {
		p.c.o.Progress(p.read, p.judged)
	}
}

func sideOf(from byte) string {
	if from == modernRecord {
		return string(plan.Modern)
	}
	return string(plan.Legacy)
}

// report counts a finding, if it counts.
func (p *pass) report(f Finding) {
	p.answers.Lock()
	defer p.answers.Unlock()
	if !p.found(f) {
		return
	}
	switch f.Kind {
	case Orphaned:
		p.counts.Orphaned++
	case Unknown:
		p.counts.Unknown++
	case DoubleClaimed:
		p.counts.DoubleClaimed++
	case Mismatched:
		p.counts.Mismatched++
	}
}
