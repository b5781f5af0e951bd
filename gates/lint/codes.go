package lint

import (
	"slices"

	"github.com/changeover-dev/changeover/plan"
)

// The codes of the warnings. They are API.
const (
	ContradictoryBands = "contradictory-bands"
	NeverTrue          = "gate-never-true"
	AlwaysTrue         = "gate-always-true"
	Shadowed           = "shadowed-gate"
	OrVectorZero       = "or-vector-zero"
	NoSamples          = "no-samples"
	FewSamples         = "few-samples"
	LongFor            = "long-for"
	UnusedSignal       = "unused-signal"
	UnusedObject       = "unused-object"
	NoRollbackGate     = "no-rollback-gate"
	LegacySilent       = "legacy-silent"
	UnknownPlan        = "unknown-plan"
	RuleExpires        = "rule-expires"
	FlagNeverOn        = "flag-never-on"
	FlagExpires        = "flag-expires"
	UnusedIgnore       = "unused-ignore"
	BadIgnore          = "bad-ignore"
)

// Code is one kind of warning.
type Code struct {
	Code string `json:"code"`
	// Meaning is one line for people.
	Meaning string `json:"meaning"`
	// Fixed warnings are of ignore comments and cannot be ignored.
	Fixed bool `json:"-"`
}

// Codes are all kinds of warnings, in the order in which they are listed.
func Codes() []Code { return slices.Clone(codes) }

var codes = []Code{
	{Code: ContradictoryBands, Meaning: "gates of a phase say different things about the same values of a signal"},
	{Code: NeverTrue, Meaning: "no values can make the expression true"},
	{Code: AlwaysTrue, Meaning: "no values can make the expression false"},
	{Code: Shadowed, Meaning: "another gate with the same effect is true whenever this one matters"},
	{Code: OrVectorZero, Meaning: "a proportion has no data until its first event: add `or vector(0)`"},
	{Code: NoSamples, Meaning: "gates judge a proportion without asking how many requests stand behind it"},
	{Code: FewSamples, Meaning: "samples.min is too small to prove what a gate asks, even where nothing fails"},
	{Code: LongFor, Meaning: "the time of `for` cannot pass before the stop or Prometheus' data ends"},
	{Code: UnusedSignal, Meaning: "nothing reads the signal"},
	{Code: UnusedObject, Meaning: "nothing reads the object"},
	{Code: NoRollbackGate, Meaning: "the phase sends traffic to modern and nothing would take it back"},
	{Code: LegacySilent, Meaning: "a gate reads a signal of legacy at a stop where legacy gets no traffic"},
	{Code: UnknownPlan, Meaning: "a gate reads a plan that is in none of the files, where folders are checked"},
	{Code: RuleExpires, Meaning: "a rule of mirror.compare has expired, or does so within 30 days"},
	{Code: FlagNeverOn, Meaning: "nobody has the flag on modern at any stop"},
	{Code: FlagExpires, Meaning: "a flag has expired, or does so within 30 days"},
	{Code: UnusedIgnore, Meaning: "an ignore comment ignores nothing", Fixed: true},
	{Code: BadIgnore, Meaning: "an ignore comment has no reason, or names no code that can be ignored", Fixed: true},
}

func codeOf(name string) (Code, bool) {
	i := slices.IndexFunc(codes, func(c Code) bool { return c.Code == name })
	if i < 0 {
		return Code{}, false
	}
	return codes[i], true
}

// finding is one warning before it has its place in the file.
type finding struct {
	code   string
	path   string // of the field, as in plan.Document.Locate
	offset int    // in runes of its value
	// message and hint are for people.
	message, hint string
	// by is the path of the other gate that the finding speaks of.
	by string
	// term and values are where a contradiction shows.
	term   string
	values set
}

// problem gives a finding its place.
func (f finding) problem(doc *plan.Document) plan.Problem {
	p := doc.Problem(f.path, f.offset, f.code, f.message, f.hint)
	p.Severity = plan.SeverityWarning
	return p
}
