package plan

// APIVersion and Kind identify a document as a MigrationPlan.
const (
	APIVersion = "changeover.dev/v1alpha1"
	Kind       = "MigrationPlan"
)

// Plan is one MigrationPlan: one migration.
type Plan struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata identifies a plan. Namespace is `default` where the file names none.
type Metadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// Key is the identity of a plan, wherever its file lies: namespace and name.
type Key struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is NAMESPACE/NAME, as kubectl prints it.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Key is the plan's identity.
func (p *Plan) Key() Key { return Key{Namespace: p.Metadata.Namespace, Name: p.Metadata.Name} }

// Spec is what a plan declares.
type Spec struct {
	// Position is the declared position: a promotion changes it and nothing else.
	Position Position `json:"position"`
	// Suspend stops every change: the daemon observes and reports only.
	Suspend bool `json:"suspend,omitempty"`
	// Promotion says who proposes the next stop: manual, a person; auto, the
	// daemon, by a branch with the commit that raises the position, when the
	// stop has baked and its advance gates pass. A person merges either.
	Promotion Promotion `json:"promotion,omitempty"`
	// Requires must be met before the first stop is left.
	Requires *Requires `json:"requires,omitempty"`
	// DependsOn are plans that must be far enough before this one leaves its
	// first stop; when one falls below that, this one goes back there.
	DependsOn []Dependency `json:"dependsOn,omitempty"`
	// ConflictsWith are plans, as PLAN or NAMESPACE/PLAN, that are never past
	// their first stop together with this one.
	ConflictsWith []string `json:"conflictsWith,omitempty"`
	// ServiceAccountName is the account, in the plan's namespace, as which
	// the cluster is read and written for this plan; empty: the daemon's own.
	ServiceAccountName string   `json:"serviceAccountName,omitempty"`
	Backends           Backends `json:"backends,omitzero"`
	// Gateway is where traffic is routed; nil: the plan moves no traffic.
	Gateway  *Gateway  `json:"gateway,omitempty"`
	Identity *Identity `json:"identity,omitempty"`
	// Override lets some callers choose their side by a header.
	Override *Override         `json:"override,omitempty"`
	Signals  map[string]Signal `json:"signals,omitempty"`
	// Baselines are values to compare with, which gates read as baseline.NAME.
	Baselines map[string]Baseline `json:"baselines,omitempty"`
	// ObservedSplit names signals that count the requests of either side, for
	// a gateway that does not count them itself; nil: none do.
	ObservedSplit *ObservedSplit `json:"observedSplit,omitempty"`
	// Objects are live objects that gates read as object.NAME.
	Objects map[string]ObjectRef `json:"objects,omitempty"`
	// Entities are long-lived things with an owner; nil: the plan has none.
	Entities *Entities `json:"entities,omitempty"`
	Phases   []Phase   `json:"phases"`
	// Flags are feature flags that applications read by OpenFeature.
	Flags []Flag `json:"flags,omitempty"`
	// Translations map requests and answers of legacy's API to modern's and
	// back, by the name that routes use.
	Translations map[string]Translation `json:"translations,omitempty"`
	// Roles say who may approve.
	Roles map[string]Role `json:"roles,omitempty"`
	// Windows limit when the plan moves forward.
	Windows []Window `json:"windows,omitempty"`
	// Success is what the whole migration is judged by in reports.
	Success []Criterion `json:"success,omitempty"`
	// Notifications say which of the daemon's receivers are told of the plan,
	// beside those that are told of every plan.
	Notifications []Notification `json:"notifications,omitempty"`
	// MonitorFor is how long gates go on after the plan is complete. Zero in a
	// file means the default, 28d.
	MonitorFor Duration `json:"monitorFor,omitempty"`
}

// Side is one of the two backends of a migration.
type Side string

// The two sides.
const (
	Legacy Side = "legacy"
	Modern Side = "modern"
)

// Backends are the two systems between which traffic moves.
type Backends struct {
	Legacy Backend `json:"legacy"`
	Modern Backend `json:"modern"`
}

// Of returns the backend of a side.
func (b Backends) Of(s Side) Backend {
	if s == Modern {
		return b.Modern
	}
	return b.Legacy
}

// Backend is where one side is reached: by nginx and the bridge at an absolute
// http or https URL, by the Gateway API at a Service.
type Backend struct {
	URL     string   `json:"url,omitempty"`
	Service *Service `json:"service,omitempty"`
}

// Service names a Kubernetes Service. Namespace is that of the HTTPRoute where
// the file names none.
type Service struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Port      int    `json:"port"`
}

// Gateway names exactly one data plane.
type Gateway struct {
	GatewayAPI *GatewayAPIGateway `json:"gatewayAPI,omitempty"`
	NGINX      *NGINXGateway      `json:"nginx,omitempty"`
	Bridge     *BridgeGateway     `json:"bridge,omitempty"`
}

// GatewayAPIGateway routes by one HTTPRoute, which has the plan's name and is
// wholly Changeover's. Namespace is that of the HTTPRoute, the plan's where the
// file names none.
type GatewayAPIGateway struct {
	Namespace  string      `json:"namespace,omitempty"`
	ParentRefs []ParentRef `json:"parentRefs"`
	Hostnames  []string    `json:"hostnames,omitempty"`
	// Bridge is the Service of a changeover-bridge, which decides what an
	// HTTPRoute cannot: see Bridged. Nil: there is none.
	Bridge *Service `json:"bridge,omitempty"`
}

// ParentRef names a Gateway, and where given its listener. Namespace is that of
// the HTTPRoute where the file names none.
type ParentRef struct {
	Name        string `json:"name"`
	Namespace   string `json:"namespace,omitempty"`
	SectionName string `json:"sectionName,omitempty"`
	Port        int    `json:"port,omitempty"`
}

// NGINXGateway routes by files in an include directory of an nginx. Where that
// nginx is, is a flag of the daemon.
type NGINXGateway struct {
	// Bridge is the URL at which that nginx reaches a changeover-bridge, which
	// decides what nginx cannot: see Bridged. Empty: there is none.
	Bridge string `json:"bridge,omitempty"`
}

// BridgeGateway routes by changeover-bridge. Where that bridge is, is a flag of
// the daemon.
type BridgeGateway struct{}

// Identity is what keeps a caller on one side: exactly one of header, cookie,
// query and clientIP. Cohort salts the bucket; by default the plan's name.
type Identity struct {
	Header   string `json:"header,omitempty"`
	Cookie   string `json:"cookie,omitempty"`
	Query    string `json:"query,omitempty"`
	ClientIP bool   `json:"clientIP,omitempty"`
	Cohort   string `json:"cohort,omitempty"`
}

// Phase is a part of the itinerary: one stop, or one for each of Percents.
type Phase struct {
	Name     string    `json:"name"`
	Percents []Percent `json:"percents,omitempty"`
	// Bake is the least time at each stop.
	Bake Bake `json:"bake,omitzero"`
	// Manual: entered only when the position names this phase itself.
	Manual bool `json:"manual,omitempty"`
	// NotBefore is the earliest time at which a stop is entered.
	NotBefore NotBefore `json:"notBefore,omitzero"`
	// Approvals that each stop of the phase needs before it is entered.
	Approvals []ApprovalRule `json:"approvals,omitempty"`
	// Checklist of each stop: every item must be ticked by an approval.
	Checklist []string `json:"checklist,omitempty"`
	// Cluster is what the phase wants in the cluster; nil: what is there stays.
	Cluster *Cluster `json:"cluster,omitempty"`
	// Backup that is made before the phase is entered from another one; nil:
	// none.
	Backup   *Backup  `json:"backup,omitempty"`
	Routes   []Route  `json:"routes,omitempty"`
	Gates    Gates    `json:"gates,omitzero"`
	Rollback Rollback `json:"rollback,omitzero"`
	// Transforms make objects into others when the phase is entered, before
	// its traffic moves.
	Transforms []Transform `json:"transforms,omitempty"`
	// Entities of the plan in this phase, where their owner is a label.
	Entities *PhaseEntities `json:"entities,omitempty"`
	// Flags say how many callers have a flag of the plan on modern: a percentage,
	// or position. One that is not named is as in the nearest phase before.
	Flags map[string]Share `json:"flags,omitempty"`
}

// Cluster is the kustomization of a phase.
type Cluster struct {
	// Path of the kustomization's folder, relative to the plan's file.
	Path string `json:"path"`
	// Prune deletes what an earlier stop applied and this one has not; true
	// where the file does not say.
	Prune *bool `json:"prune,omitempty"`
	// MaxPrune is the most objects that one stop may delete: where there are
	// more, none is. 20 where the file does not say.
	MaxPrune *int `json:"maxPrune,omitempty"`
	// Timeout: a person is told when the objects are not healthy for longer.
	// 5m where the file does not say.
	Timeout Duration `json:"timeout,omitempty"`
}

// Gates of a phase, by effect.
type Gates struct {
	Enter    []Gate `json:"enter,omitempty"`
	Advance  []Gate `json:"advance,omitempty"`
	Pause    []Gate `json:"pause,omitempty"`
	Rollback []Gate `json:"rollback,omitempty"`
}

// Effect is what a gate does.
type Effect string

// The effects of gates. All enter gates must pass before a stop is entered, all
// advance gates before it is left forward. While a pause gate is true nothing
// moves forward. When a rollback gate is true, the plan rolls back.
const (
	Enter    Effect = "enter"
	Advance  Effect = "advance"
	Pause    Effect = "pause"
	Breaches Effect = "rollback"
	// Verify gates of a phase must pass after a rollback out of it.
	Verify Effect = "verify"
)

// Effects lists them in the order in which they are shown.
var Effects = []Effect{Enter, Advance, Pause, Breaches, Verify}

// GatesOf returns the phase's gates with one effect.
func (p *Phase) GatesOf(e Effect) []Gate {
	switch e {
	case Enter:
		return p.Gates.Enter
	case Advance:
		return p.Gates.Advance
	case Pause:
		return p.Gates.Pause
	case Breaches:
		return p.Gates.Rollback
	case Verify:
		return p.Rollback.Verify
	case Succeeds: // of the plan, not of a phase
	}
	return nil
}

// GatesPath is where the gates with one effect stand below a phase.
func (e Effect) GatesPath() string {
	if e == Verify {
		return "rollback.verify"
	}
	return "gates." + string(e)
}

// Gate is a CEL expression over signals and facts.
type Gate struct {
	Name string `json:"name"`
	Expr string `json:"expr"`
	// For: the expression was true at every known point of this window.
	For Duration `json:"for,omitempty"`
	// Message is shown when the gate blocks or breaches.
	Message string `json:"message,omitempty"`
	// Severity of what people are told when the gate breaches, or has no data
	// for too long.
	Severity Urgency `json:"severity,omitempty"`
}

// OnBreach is what a breached rollback gate does.
type OnBreach string

// Revert undoes the promotion in the data plane and in Git. Freeze only stops
// forward moves and pages.
const (
	Revert OnBreach = "revert"
	Freeze OnBreach = "freeze"
)

// Depth is how much a rollback undoes.
type Depth string

// DepthPromotion undoes what came after the last good revision, DepthPhase
// every raise since the phase was entered, DepthPlan every raise.
const (
	DepthPromotion Depth = "promotion"
	DepthPhase     Depth = "phase"
	DepthPlan      Depth = "plan"
)

// Rollback says what a breach in this phase does. Window counts from the entry
// of the stop; zero means the whole stay.
type Rollback struct {
	OnBreach OnBreach `json:"onBreach,omitempty"`
	Depth    Depth    `json:"depth,omitempty"`
	Window   Duration `json:"window,omitempty"`
	// Verify gates are watched after a rollback out of the phase, for
	// VerifyFor (10m where the file does not say): one that is false halts the
	// plan, as a person must look.
	Verify    []Gate   `json:"verify,omitempty"`
	VerifyFor Duration `json:"verifyFor,omitempty"`
	// RemoveTransformed deletes, after a rollback out of the phase, what its
	// transforms created and nobody has changed since.
	RemoveTransformed bool `json:"removeTransformed,omitempty"`
	// Restore brings back, once the traffic has moved, what the backup of the
	// phase has.
	Restore bool `json:"restore,omitempty"`
}

// Route is one entry of a phase's routes; the first match wins. Exactly one of
// To and Respond is set.
type Route struct {
	Match   *Match   `json:"match,omitempty"`
	To      Dest     `json:"to,omitempty"`
	Respond *Respond `json:"respond,omitempty"`
	// Percent is an own figure in place of the position's, for `to: split`.
	Percent *Percent `json:"percent,omitempty"`
	// Mirror sends a copy of the requests to modern, whose answers are dropped.
	Mirror  *Mirror  `json:"mirror,omitempty"`
	Rewrite *Rewrite `json:"rewrite,omitempty"`
	// Translate names the translation of what goes to modern, copies too.
	Translate string `json:"translate,omitempty"`
}

// Mirror copies requests to modern. Only safe methods (GET, HEAD, OPTIONS) are
// copied unless AllowUnsafe says why others may be.
type Mirror struct {
	// Percent of the requests; 100 where the file does not say.
	Percent     *Percent `json:"percent,omitempty"`
	AllowUnsafe string   `json:"allowUnsafe,omitempty"`
	// Compare judges modern's answers by legacy's; nil: they are dropped.
	Compare *Comparison `json:"compare,omitempty"`
}

// Rewrite changes a request on its way to the backend.
type Rewrite struct {
	// Path replaces the prefix that a pathPrefix matched, or the path that a
	// path matched.
	Path string `json:"path,omitempty"`
	Host string `json:"host,omitempty"`
	// Headers are set on the request.
	Headers map[string]string `json:"headers,omitempty"`
}

// Dest is where a route sends a request.
type Dest string

// The destinations of a route.
const (
	ToLegacy Dest = "legacy"
	ToModern Dest = "modern"
	ToSplit  Dest = "split"
	// ToOwner is the side that owns the entity which a request names.
	ToOwner Dest = "owner"
)

// Match selects requests: all that is set must hold. At most one of the three
// paths is set. Header values match exactly.
type Match struct {
	Methods    []string          `json:"methods,omitempty"`
	Path       string            `json:"path,omitempty"`
	PathPrefix string            `json:"pathPrefix,omitempty"`
	PathRegex  string            `json:"pathRegex,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
}

// Respond answers at the gateway itself.
type Respond struct {
	Status  int               `json:"status"`
	Body    string            `json:"body,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}
