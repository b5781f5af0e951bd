package render

import "maps"

// hidden stands for a value of a Secret.
const hidden = "*** (hidden)"

// Masked is the object as it may be shown: of a Secret the keys stay, and the
// values are hidden. Other objects are returned as they are.
func Masked(o Object) Object {
	if o.Kind() != "Secret" || o.ID().Group != "" {
		return o
	}
	out := maps.Clone(o)
	for _, field := range []string{"data", "stringData"} {
		values, ok := o[field].(map[string]any)
		if !ok {
			continue
		}
		masked := make(map[string]any, len(values))
		for k := range values {
			masked[k] = hidden
		}
		out[field] = masked
	}
	return out
}
