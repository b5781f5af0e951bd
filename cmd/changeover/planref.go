package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
)

// planRef is a PLAN argument: NAME or NAMESPACE/NAME.
type planRef struct {
	namespace string // empty: any
	name      string
}

func addNamespace(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("namespace", "n", "", "namespace of the plan (default: the one that has a plan of that name)")
}

// parsePlan reads a PLAN argument with the value of -n.
func parsePlan(arg, namespace string) (planRef, error) {
	ns, name, ok := strings.Cut(arg, "/")
	if !ok {
		ns, name = namespace, arg
	}
	switch {
	case name == "" || ok && ns == "" || strings.Contains(name, "/"):
		return planRef{}, usageError("read plan %q: want NAME or NAMESPACE/NAME", arg)
	case namespace != "" && namespace != ns:
		return planRef{}, usageError("read plan %q: it names another namespace than -n %s", arg, namespace)
	}
	return planRef{namespace: ns, name: name}, nil
}

func (r planRef) String() string {
	if r.namespace == "" {
		return r.name
	}
	return r.namespace + "/" + r.name
}

func (r planRef) matches(k plan.Key) bool {
	return k.Name == r.name && (r.namespace == "" || k.Namespace == r.namespace)
}

// resolve finds the one key that is meant. where says, for the error, what was
// searched.
func (r planRef) resolve(known []plan.Key, where string) (plan.Key, error) {
	var found []plan.Key
	for _, k := range known {
		if r.matches(k) && !slices.Contains(found, k) {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return plan.Key{}, usageError("find plan %q: there are several (%s); give NAMESPACE/NAME", r.String(), keyList(found))
	case len(known) == 0:
		return plan.Key{}, finding("find plan %q: there is no plan %s", r.String(), where)
	}
	return plan.Key{}, finding("find plan %q: it is not %s; there is %s", r.String(), where, keyList(known))
}

// keyList names the first few keys.
func keyList(keys []plan.Key) string {
	const most = 8
	var names []string
	for _, k := range keys[:min(most, len(keys))] {
		names = append(names, k.String())
	}
	if len(keys) > most {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}
