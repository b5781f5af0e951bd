package entities

import (
	"errors"
	"hash/fnv"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/entity"
	"github.com/changeover-dev/changeover/render/translate"
)

// known is all that is known of one id.
type known struct {
	id                    string
	row, legacy, modern   *record
	legacyLive, modernOne bool
	// twice: an inventory lists it more than once. moving: its row changed while
	// the table was read.
	twice, moving bool
}

func gather(group []record) (k known) {
	k.id = group[0].id
	for i := range group {
		r := &group[i]
		at := map[byte]**record{tableRecord: &k.row, legacyRecord: &k.legacy, modernRecord: &k.modern}[r.from]
		switch {
		case *at == nil:
			*at = r
		case r.from == tableRecord:
			k.moving = true
		default:
			k.twice = true
		}
	}
	k.legacyLive = k.legacy != nil && k.legacy.flags&flagLive != 0
	k.modernOne = k.modern != nil && k.modern.flags&flagLive != 0
	return k
}

// judge counts one id and reports what is wrong with it.
func (p *pass) judge(group []record) error {
	if p.judged++; p.judged%1000 == 0 {
		p.tell()
		if err := p.ctx.Err(); err != nil {
			return err
		}
	}
	k := gather(group)
	for _, r := range []*record{k.legacy, k.modern} {
		if r != nil && r.flags&flagBad != 0 {
			p.report(Finding{Kind: Unknown, ID: k.id, Why: sideOf(r.from) + " lists an item that cannot be judged: " + string(r.data)})
			return nil
		}
	}
	if k.twice {
		p.report(Finding{Kind: Unknown, ID: k.id, Why: "an inventory lists it more than once"})
		return nil
	}
	switch {
	case k.row == nil:
		p.withoutRow(k)
	case k.row.flags&flagEnded != 0 && !k.legacyLive && !k.modernOne:
		p.counts.Ended++
	default:
		p.withRow(k)
	}
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	return p.seedSome()
}

// withoutRow is an id that the table does not have.
func (p *pass) withoutRow(k known) {
	switch {
	case k.legacyLive && k.modernOne:
		p.report(Finding{Kind: DoubleClaimed, ID: k.id, Why: "both sides serve it, and the table has no owner"})
		p.report(Finding{Kind: Unknown, ID: k.id, Why: "both sides serve it, and the table has no owner"})
	case k.modernOne:
		p.report(Finding{Kind: Unknown, ID: k.id, Why: "modern serves it, and the table has no owner: its requests go to legacy"})
	case k.legacyLive:
		p.counts.New++
		p.counts.Legacy++
		p.busy(k)
		p.fresh = append(p.fresh, ownership.Entity{ID: k.id, Owner: plan.Legacy, Origin: ownership.BornLegacy, At: p.c.o.Now()})
		p.compare(k, plan.Legacy)
	}
	// What is only remembered, or only a copy, has no owner and needs none.
}

func (p *pass) busy(k known) {
	if k.legacy != nil && k.legacy.flags&flagInFlight != 0 {
		p.counts.InFlight++
	}
}

// withRow is an id whose owner the table names.
func (p *pass) withRow(k known) {
	owner := plan.Legacy
	if k.row.flags&flagModern != 0 {
		owner = plan.Modern
	}
	if owner == plan.Legacy && k.legacy != nil && !k.legacyLive && !k.modernOne {
		p.counts.Ended++ // legacy says so itself
		return
	}
	if owner == plan.Modern {
		p.counts.Modern++
	} else {
		p.counts.Legacy++
		p.busy(k)
	}
	if k.moving {
		return
	}
	switch {
	case k.legacyLive && k.modernOne:
		p.report(Finding{Kind: DoubleClaimed, ID: k.id, Owner: owner, Why: "both sides serve it"})
	case owner == plan.Legacy && !k.legacyLive:
		p.report(Finding{Kind: Orphaned, ID: k.id, Owner: owner, Elsewhere: k.modernOne, Why: lost(k.modernOne, "legacy", "modern")})
	case owner == plan.Modern && !k.modernOne && p.c.o.Modern != nil:
		p.report(Finding{Kind: Orphaned, ID: k.id, Owner: owner, Elsewhere: k.legacyLive, Why: lost(k.legacyLive, "modern", "legacy")})
	}
	p.compare(k, owner)
}

func lost(otherServes bool, owner, other string) string {
	if otherServes {
		return "the table says that " + owner + " owns it, and only " + other + " serves it"
	}
	return "the table says that " + owner + " owns it, and neither side serves it"
}

// question is one entity to compare.
type question struct {
	id             string
	legacy, modern []byte
}

// compare compares the fields of an entity, or has it done, where there is
// something to compare: both sides list it, or a side is asked. What legacy only
// remembers of an entity that modern owns may be old.
func (p *pass) compare(k known, owner plan.Side) {
	v := p.c.o.Entities.Verify
	if v == nil || owner == plan.Modern && !k.legacyLive || v.Legacy == nil && k.legacy == nil || !p.sampled(k.id) {
		return
	}
	if k.modern == nil && (v.Modern == nil || p.c.o.Modern != nil || owner == plan.Legacy && p.c.o.Entities.Sync == nil) {
		return
	}
	q := question{id: k.id}
	if k.legacy != nil {
		q.legacy = k.legacy.data
	}
	if k.modern != nil {
		q.modern = k.modern.data
	}
	if p.questions == nil {
		p.answer(q)
		return
	}
	select {
	case p.questions <- q:
	case <-p.ctx.Done():
	}
}

// sampled reports whether an id is in the sample of this round.
func (p *pass) sampled(id string) bool {
	sample := int64(p.c.o.Entities.Verify.Sample)
	if sample == 0 || p.listed <= sample {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // it cannot fail
	_, _ = h.Write([]byte{byte(p.c.round), byte(p.c.round >> 8), byte(p.c.round >> 16)})
	return mix(h.Sum64())%uint64(p.listed) < uint64(sample)
}

// mix spreads what differs in few bits over all.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// ask starts those who ask the sides for entities, where the plan wants it.
func (p *pass) ask() {
	v := p.c.o.Entities.Verify
	if v == nil || v.Legacy == nil && v.Modern == nil {
		return
	}
	p.questions = make(chan question)
	for range p.c.o.Entities.Concurrency {
		p.askers.Go(func() {
			for q := range p.questions {
				p.answer(q)
			}
		})
	}
}

// answered waits for the last answers.
func (p *pass) answered() {
	if p.questions != nil {
		close(p.questions)
		p.askers.Wait()
	}
}

// answer compares one entity.
func (p *pass) answer(q question) {
	item, err := object(q.legacy)
	legacy, modern := any(item), any(nil)
	if err == nil {
		modern, err = translate.Decode(q.modern)
	}
	for _, side := range []struct {
		call *entity.Call
		into *any
	}{{p.c.o.Program.VerifyLegacy, &legacy}, {p.c.o.Program.VerifyModern, &modern}} {
		if side.call != nil && err == nil {
			*side.into, err = p.c.o.Caller.Fetch(p.ctx, side.call, q.id, item)
		}
	}
	var failed *call.Error
	switch {
	case err != nil && errors.As(err, &failed) && !errors.Is(err, call.ErrNotFound), p.ctx.Err() != nil:
		p.count(&p.counts.Unasked)
		return
	case err != nil:
		p.count(&p.counts.Compared)
		p.report(Finding{Kind: Mismatched, ID: q.id, Why: err.Error()})
		return
	}
	p.count(&p.counts.Compared)
	if found := p.c.o.Program.Compare(p.ctx, q.id, legacy, modern); len(found) > 0 {
		var why []string
		for _, m := range found {
			why = append(why, m.Expr+": "+m.Why)
		}
		p.report(Finding{Kind: Mismatched, ID: q.id, Why: strings.Join(why, "; ")})
	}
}

func (p *pass) count(n *int64) {
	p.answers.Lock()
	*n++
	p.answers.Unlock()
}

func object(b []byte) (map[string]any, error) {
	v, err := translate.Decode(b)
	m, _ := v.(map[string]any)
	return m, err
}

// seedPage is how many rows are written to the table at once.
const seedPage = 1000

// seedSome writes what is new on legacy to the table, once there is enough of it.
func (p *pass) seedSome() error {
	if len(p.fresh) < seedPage {
		return nil
	}
	return p.seed()
}

func (p *pass) seed() error {
	fresh := p.fresh
	p.fresh = p.fresh[:0]
	if !p.c.o.Seed || len(fresh) == 0 {
		return nil
	}
	return p.c.o.Store.Add(p.ctx, p.c.o.Plan, fresh)
}
