package status

import (
	"cmp"
	"fmt"
	"strings"
)

// condition is one entry of a list of conditions.
type condition struct {
	typ, status, reason, message string
	generation                   int64 // observed; zero where it is not said
}

// conditions reads the list below a map; what is no condition is left out.
func conditions(of map[string]any) []condition {
	list, _ := of["conditions"].([]any)
	var out []condition
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		c := condition{typ: str(m, "type"), status: str(m, "status"), reason: str(m, "reason"), message: str(m, "message")}
		c.generation, _ = number(m["observedGeneration"])
		out = append(out, c)
	}
	return out
}

func find(list []condition, typ string) (condition, bool) {
	for _, c := range list {
		if c.typ == typ {
			return c, true
		}
	}
	return condition{}, false
}

// lacks says why the conditions of some types do not all hold as of a
// generation; empty where they do.
func lacks(list []condition, generation int64, types ...string) string {
	for _, t := range types {
		c, ok := find(list, t)
		switch {
		case !ok:
			return fmt.Sprintf("its controller has not said %s", t)
		case c.generation != generation:
			return fmt.Sprintf("its controller has said %s of generation %d, not yet of the current %d", t, c.generation, generation)
		case c.status != "True":
			return fmt.Sprintf("%s is %s%s", t, cmp.Or(c.status, "Unknown"), c.why())
		}
	}
	return ""
}

// why is the reason and the message of a condition, to be put behind its status.
func (c condition) why() string {
	var parts []string
	for _, s := range []string{c.reason, clip(c.message)} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// clip keeps a message to one line of bounded length.
func clip(s string) string {
	const most = 200
	s = strings.TrimRight(strings.Join(strings.Fields(s), " "), ".")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

func child(o map[string]any, field string) map[string]any {
	m, _ := o[field].(map[string]any)
	return m
}

func str(o map[string]any, field string) string {
	s, _ := o[field].(string)
	return s
}

// number reads an integer as JSON decoders give it.
func number(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case float64:
		return int64(n), n == float64(int64(n))
	}
	return 0, false
}
