package lint

import "maps"

// criteria adds what the criteria of success read. One that does not parse may
// read anything.
func (l *linter) criteria(read map[string]bool) {
	for _, c := range l.plan.Spec.Success {
		f, ok := parseFormula(c.Expr)
		if !ok {
			l.unread = true
			continue
		}
		maps.Copy(read, f.reads)
	}
}
