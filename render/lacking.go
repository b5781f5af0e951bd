package render

// Lacking are the workloads that want has and have has not, or has with fewer
// replicas: what must be brought back before traffic relies on want. The order
// is that of want.
func Lacking(have, want []Object) []Object {
	live := make(map[ID]int64, len(have))
	for _, o := range have {
		live[o.ID()] = replicas(o)
	}
	var out []Object
	for _, o := range want {
		id := o.ID()
		if !workloads[Kind{id.Group, id.Kind}] {
			continue
		}
		if n, ok := live[id]; !ok || n < replicas(o) {
			out = append(out, o)
		}
	}
	return out
}

// Kind is a kind of object, whatever its version.
type Kind struct{ Group, Kind string }

// workloads are the kinds that answer requests.
var workloads = map[Kind]bool{
	{"apps", "Deployment"}: true, {"apps", "StatefulSet"}: true, {"apps", "ReplicaSet"}: true, {"apps", "DaemonSet"}: true,
	{"", "ReplicationController"}: true, {"", "Pod"}: true, {"", "Service"}: true,
}

// replicas that a manifest asks for: one where it does not say, as the API
// server takes it.
func replicas(o Object) int64 {
	spec, _ := o["spec"].(map[string]any)
	switch n := spec["replicas"].(type) {
	case int64:
		return n
	case int:
		return int64(n)
	case float64:
		return int64(n)
	}
	return 1
}
