package decide

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// explains holds a decision against what it says of itself: whoever is held is
// told all that holds him, and what is named as next can be entered next.
func (h *history) explains(t *rapid.T, in Input, d Decision) {
	switch {
	case d.Reason == Steady, d.Reason == Completed:
	case d.Verb == Hold || d.Verb == Halt:
		if len(d.Blocks) == 0 || d.Blocks[0].Reason != d.Reason {
			t.Fatalf("a decision that holds must name what blocks, its reason first: %+v", d)
		}
	case len(d.Blocks) > 0:
		t.Fatalf("something blocks what is done: %+v", d)
	}
	for _, b := range d.Blocks {
		if !strings.Contains(d.Message, b.Message) || b.Message == "" {
			t.Fatalf("the message does not name the block %q: %+v", b.Message, d)
		}
		if !b.Until.IsZero() && (d.RecheckAt.IsZero() || d.RecheckAt.After(b.Until)) {
			t.Fatalf("nobody looks again when %q is over: %+v", b.Message, d)
		}
	}
	if d.Next.IsZero() || d.Verb == Advance {
		return
	}
	s := &state{Input: in}
	it := s.itinerary()
	if next, ok := it.Next(s.effective()); !ok || next != d.Next || after(it, next, in.Head.Plan.Spec.Position) {
		t.Fatalf("%s cannot be entered next: %+v", d.Next, d)
	}
	if _, held := in.Record.heldBy(it); held {
		t.Fatalf("%s would not be entered while a raise is held: %+v", d.Next, d)
	}
}

// explain prints all that a decision says about what comes next.
func explain(d Decision) string {
	var b strings.Builder
	for _, x := range d.Blocks {
		fmt.Fprintf(&b, "blocked by %s: %s", x.Reason, x.Message)
		if !x.Until.IsZero() {
			fmt.Fprintf(&b, " (until %s)", x.Until.Format("15:04"))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "next: %s\n", d.Next)
	return b.String()
}
