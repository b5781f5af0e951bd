package plan

// Severity of a problem. Only errors stop a plan.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is one thing that is wrong in a file, as a value: where, what, and
// what to do about it.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1; 0 where the whole file is meant
	Column   int      `json:"column"` // from 1, in runes
	Severity Severity `json:"severity"`
	Code     string   `json:"code"` // stable, kebab-case
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Source   string   `json:"source,omitempty"` // the source line
}
