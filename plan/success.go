package plan

import "fmt"

// Criterion is a CEL expression by which the migration as a whole is judged:
// in the reports that are made from Git and Prometheus. It moves nothing.
type Criterion struct {
	Name string `json:"name"`
	Expr string `json:"expr"`
	// Message says for people what it stands for.
	Message string `json:"message,omitempty"`
}

// Succeeds is the effect by which the results of criteria are known. No gate of
// a phase has it, and it is not among Effects.
const Succeeds Effect = "success"

func (v *validator) success() {
	first := map[string]int{}
	for i, c := range v.p.Spec.Success {
		at := fmt.Sprintf("spec.success[%d].name", i)
		v.label(at, "the name of a criterion", c.Name)
		if j, ok := first[c.Name]; ok && c.Name != "" {
			line, _ := v.d.Locate(fmt.Sprintf("spec.success[%d].name", j), 0)
			v.at(at, "duplicate-name", fmt.Sprintf("criterion %q is already at line %d", c.Name, line), "each criterion has a name of its own")
		} else {
			first[c.Name] = i
		}
	}
}
