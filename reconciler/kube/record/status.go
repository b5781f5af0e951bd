package record

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
)

// maxBlocks bounds what is told of all that blocks.
const maxBlocks = 20

// maxText bounds each text of the status, in bytes.
const maxText = 2048

// clip bounds a text for people, at a whole character.
func clip(s string) string { return clipTo(s, maxText) }

func clipTo(s string, most int) string {
	const mark = "..."
	if len(s) <= most {
		return s
	}
	n := most - len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}

// masked is a text without its numbers: values in messages change at every
// evaluation, and that is no reason to write.
func masked(s string) string {
	var b strings.Builder
	number := false
	for _, c := range s {
		digit := c >= '0' && c <= '9' || c == '.' && number
		if digit && !number {
			b.WriteByte('#')
		}
		if !digit {
			b.WriteRune(c)
		}
		number = digit
	}
	return b.String()
}

// statusOf is the part of the status that one evaluation tells.
func statusOf(s reconciler.Status) api.MigrationPlanStatus {
	out := api.MigrationPlanStatus{
		State: string(s.State), Reason: string(s.Decision.Reason), Message: clip(s.Decision.Message),
		Blocks: blocks(s.Decision.Blocks), Next: stop(s.Decision.Next),
		Declared: stop(s.Declared), Effective: s.Effective.String(), Applied: string(s.Applied),
	}
	if !s.Effective.IsZero() {
		out.Phase, out.Percent = s.Effective.Phase, new(s.Effective.Percent)
	}
	if !s.Since.IsZero() {
		out.Since = new(metav1.NewTime(s.Since))
	}
	for _, h := range s.Holds {
		out.Holds = append(out.Holds, api.Hold{Commit: string(h.Commit), At: metav1.NewTime(h.At)})
	}
	if p := s.Pending; p != nil {
		out.Pending = &api.Pending{
			Undo: texts(p.Undo), From: p.From.String(), Target: p.Target.String(), Reason: string(p.Reason),
			Message: clip(p.Message), At: metav1.NewTime(p.At), Branch: p.Branch,
		}
	}
	return out
}

// blocks are those that the status has room for. They come in the order of the
// decision, so that its reason is always among them.
func blocks(bs []decide.Block) (out []api.Block) {
	for _, b := range bs[:min(len(bs), maxBlocks)] {
		x := api.Block{Reason: string(b.Reason), Message: clip(b.Message)}
		if !b.Until.IsZero() {
			x.Until = new(metav1.NewTime(b.Until))
		}
		out = append(out, x)
	}
	return out
}

// blocksFrom is the inverse.
func blocksFrom(bs []api.Block) (out []decide.Block) {
	for _, b := range bs {
		x := decide.Block{Reason: decide.Reason(b.Reason), Message: b.Message}
		if b.Until != nil {
			x.Until = b.Until.UTC()
		}
		out = append(out, x)
	}
	return out
}

// maskedBlocks are blocks without what changes at every evaluation: numbers,
// and when each ends. That one ends by itself is told by whether it has a time.
func maskedBlocks(bs []api.Block) []api.Block {
	bs = slices.Clone(bs)
	for i := range bs {
		bs[i].Message = masked(bs[i].Message)
		if bs[i].Until != nil {
			bs[i].Until = &metav1.Time{}
		}
	}
	return bs
}

// stop is a position; empty where there is none.
func stop(p plan.Position) string {
	if p.IsZero() {
		return ""
	}
	return p.String()
}

// position reads what stop and Position.String write.
func position(s string) plan.Position {
	if s == "" || s == (plan.Position{}).String() {
		return plan.Position{}
	}
	p, err := plan.ParsePosition(s)
	if err != nil {
		return plan.Position{} // somebody edited it
	}
	return p
}

func texts[T ~string](in []T) (out []string) {
	for _, s := range in {
		out = append(out, string(s))
	}
	return out
}

// statusFrom is the status as an object shows it; the record knows more of what
// is pending and held.
func statusFrom(key plan.Key, in api.MigrationPlanStatus, record []byte) reconciler.Status {
	s := reconciler.Status{
		Key: key, Declared: position(in.Declared), Effective: position(in.Effective), State: reconciler.State(in.State),
		Decision: decide.Decision{
			Reason: decide.Reason(in.Reason), Message: in.Message, Blocks: blocksFrom(in.Blocks), Next: position(in.Next),
		},
		Applied: plan.Revision(in.Applied),
	}
	if in.Since != nil {
		s.Since = in.Since.UTC()
	}
	if rec, err := decode(record); err == nil {
		s.Holds, s.Pending, s.Move, s.Halt, s.Blind = rec.Holds, rec.Pending, rec.Move, rec.Halt, rec.Blind
		if a := rec.Applied; a != nil && a.Since.Truncate(time.Second).Equal(s.Since) {
			s.Since = a.Since
		}
	}
	return s
}

// kept is what the conditions are made of, sharing no memory with the caller
// that may change.
func kept(s reconciler.Status) *reconciler.Status {
	k := reconciler.Status{
		Key: s.Key, Effective: s.Effective, State: s.State, Error: s.Error, Waiting: s.Waiting, Observed: s.Observed, Plan: s.Plan,
		Decision: decide.Decision{Verb: s.Decision.Verb, Reason: s.Decision.Reason, Message: s.Decision.Message},
		Problems: slices.Clone(s.Problems), Gates: slices.Clone(s.Gates),
	}
	if s.Halt != nil {
		k.Halt = new(*s.Halt)
	}
	if s.Blind != nil {
		k.Blind = new(*s.Blind)
	}
	if s.Move != nil {
		k.Move = new(*s.Move)
	}
	return &k
}

// entryOf is an entry as the status has it.
func entryOf(e reconciler.Entry) (api.Entry, error) {
	out := api.Entry{
		At: e.At.Format(time.RFC3339Nano), Verb: string(e.Verb), Reason: string(e.Reason), From: stop(e.From), To: stop(e.To),
		Message: clip(e.Message), Commits: texts(e.Commits),
	}
	for _, g := range finite(e.Evidence) {
		b, err := json.Marshal(g)
		if err != nil {
			return out, fmt.Errorf("encode evidence: %w", err)
		}
		out.Evidence = append(out.Evidence, runtime.RawExtension{Raw: b})
	}
	return out, nil
}

// entryFrom is the inverse; ok is false for what somebody edited.
func entryFrom(e api.Entry) (out reconciler.Entry, ok bool) {
	at, err := time.Parse(time.RFC3339Nano, e.At)
	if err != nil {
		return out, false
	}
	out = reconciler.Entry{
		At: at, Verb: decide.Verb(e.Verb), Reason: decide.Reason(e.Reason), From: position(e.From), To: position(e.To), Message: e.Message,
	}
	for _, c := range e.Commits {
		out.Commits = append(out.Commits, plan.Revision(c))
	}
	for _, b := range e.Evidence {
		var g gates.Result
		if err := json.Unmarshal(b.Raw, &g); err != nil {
			return out, false
		}
		out.Evidence = append(out.Evidence, g)
	}
	return out, true
}

// readStatus decodes the status of a live object.
func readStatus(u *unstructured.Unstructured) (s api.MigrationPlanStatus, err error) {
	b, err := json.Marshal(u.Object["status"])
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return api.MigrationPlanStatus{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return s, nil
}
