package plan

// ObjectRef names one live object. Namespace is the plan's where the file names
// none; it does not count for kinds without one.
type ObjectRef struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}
