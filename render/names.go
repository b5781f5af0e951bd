package render

// FieldManager is the name under which Changeover applies to a cluster.
const FieldManager = "changeover"

// ManagedLabel, with the value "true", is on every object that Changeover
// applies, so that it can be watched.
const ManagedLabel = "changeover.dev/managed"

// The annotations that Changeover writes on what it applies: on every object
// the plan, and on the HTTPRoute and the inventory what a lost record is
// rebuilt from.
const (
	PlanAnnotation     = "changeover.dev/plan" // NAMESPACE/NAME
	StopAnnotation     = "changeover.dev/stop" // PHASE or PHASE@PERCENT
	SinceAnnotation    = "changeover.dev/since"
	RevisionAnnotation = "changeover.dev/revision"
	HoldsAnnotation    = "changeover.dev/holds" // commits, by commas
)

// The annotations that people write on objects. Prune: disabled keeps an object
// that is not wanted any more; enabled lets one be deleted that holds data (a
// Namespace, a CustomResourceDefinition, a PersistentVolume or a claim to one).
// ForceConflicts: "true" takes fields from other managers.
const (
	PruneAnnotation          = "changeover.dev/prune"
	ForceConflictsAnnotation = "changeover.dev/force-conflicts"
)
