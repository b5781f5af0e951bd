package backup

import (
	"fmt"
	"slices"
	"strings"
)

// Result is what became of one object.
type Result string

// The results. Intact: the backup has it as it was written. Sealed: it is
// encrypted, and what is in it was not looked at. Unchanged: it is live as in
// the backup. Restored: it is now. Overtaken: it is, but a controller has
// written its status since. NotTried: nothing was written, for others failed, or
// as what it hangs on has yet to be made. Damaged: the backup does not have it
// any more. Failed: it could not be restored.
const (
	Intact    Result = "Intact"
	Sealed    Result = "Sealed"
	Unchanged Result = "Unchanged"
	WouldDo   Result = "WouldRestore"
	Done      Result = "Restored"
	Overtaken Result = "Overtaken"
	NotTried  Result = "NotTried"
	Damaged   Result = "Damaged"
	Failed    Result = "Failed"
)

// bad reports whether a person has to look.
func (r Result) bad() bool { return r == Damaged || r == Failed }

// told reports whether objects with the result are listed one by one.
func (r Result) told() bool {
	return r.bad() || r == Overtaken || r == Missing || r == Added || r == Changed
}

// Item is what became of one object, and why.
type Item struct {
	ID
	Result  Result `json:"result"`
	Message string `json:"message,omitempty"`
	// Managers of fields for which an apply was refused.
	Managers []string `json:"managers,omitempty"`
}

// Report is what became of all objects of a backup.
type Report struct {
	Total  int            `json:"total"`
	Counts map[Result]int `json:"counts"`
	// Faults of whole files.
	Faults []string `json:"faults,omitempty"`
	// Items that are not as they should be, each.
	Items []Item `json:"items,omitempty"`
}

func newReport(total int) *Report { return &Report{Total: total, Counts: map[Result]int{}} }

func (r *Report) add(i Item) {
	r.Counts[i.Result]++
	if i.Result.told() {
		r.Items = append(r.Items, i)
	}
}

// sort brings the items into an order of their own.
func (r *Report) sort() {
	slices.SortStableFunc(r.Items, func(a, b Item) int { return a.compare(b.ID) })
}

// Bad is how many objects are not as they should be.
func (r *Report) Bad() int { return r.Counts[Damaged] + r.Counts[Failed] }

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return r.Bad() == 0 && len(r.Faults) == 0 }

// results in the order in which they are told.
var results = []Result{Intact, Sealed, Unchanged, Missing, Added, Changed, WouldDo, Done, Overtaken, NotTried, Damaged, Failed}

// words of the results, for people.
var words = map[Result]string{
	Intact: "intact", Sealed: "encrypted and not looked into", Unchanged: "live as in the backup", WouldDo: "would be restored",
	Missing: "missing", Added: "added since", Changed: "changed",
	Done: "restored", Overtaken: "restored, with a status that was written since", NotTried: "not tried", Damaged: "damaged", Failed: "failed",
}

// Tally is how many objects have which result, in a line.
func (r *Report) Tally() string {
	var parts []string
	for _, res := range results {
		if n := r.Counts[res]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, words[res]))
		}
	}
	if len(parts) == 0 {
		return "no objects"
	}
	return fmt.Sprintf("of %d objects %s", r.Total, strings.Join(parts, ", "))
}

// Summary is the tally, with the first that are wrong.
func (r *Report) Summary() string {
	s := r.Tally()
	const most = 3
	first := slices.Clone(r.Faults)
	for _, i := range r.Items {
		if i.Result.bad() {
			first = append(first, i.ID.String()+": "+i.Message)
		}
	}
	if n := len(first); n > most {
		first = append(first[:most:most], fmt.Sprintf("and %d more", n-most))
	}
	if len(first) > 0 {
		s += ": " + strings.Join(first, "; ")
	}
	return s
}
