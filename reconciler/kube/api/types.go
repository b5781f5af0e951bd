package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
)

// Resource is where an API server serves MigrationPlans.
var Resource = schema.GroupVersionResource{Group: "changeover.dev", Version: "v1alpha1", Resource: "migrationplans"}

// PathAnnotation names the plan's file in the repository.
const PathAnnotation = "changeover.dev/path"

// SourceAnnotation names the repository and branch whose daemon keeps the
// object.
const SourceAnnotation = "changeover.dev/source"

// MigrationPlan shows one migration: as Git declares it, and how far it is.
// Its spec mirrors Git: an edit in the cluster is put right. To change the
// migration, commit.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mplan,categories=changeover
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`,description="The phase that is in effect."
// +kubebuilder:printcolumn:name="Percent",type=number,JSONPath=`.status.percent`,description="The share of traffic that goes to modern."
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="What the plan is doing."
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`,description="Why, in one word."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Declared",type=string,priority=1,JSONPath=`.status.declared`,description="Where Git wants the plan."
// +kubebuilder:printcolumn:name="Revision",type=string,priority=1,JSONPath=`.status.revision`,description="The commit of the spec."
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`,description="Why, in a sentence."
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="use lower-case letters, digits and -, at most 63, with a letter or digit at both ends"
type MigrationPlan struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec as it stands in Git.
	//
	// +structType=atomic
	// +kubebuilder:validation:XValidation:rule="!has(self.gateway) || [has(self.gateway.gatewayAPI), has(self.gateway.nginx), has(self.gateway.bridge)].exists_one(x, x)",message="gateway: give exactly one of gatewayAPI, nginx and bridge"
	// +kubebuilder:validation:XValidation:rule="!has(self.identity) || [has(self.identity.header), has(self.identity.cookie), has(self.identity.query), has(self.identity.clientIP) && self.identity.clientIP].exists_one(x, x)",message="identity: give exactly one of header, cookie, query and clientIP: true"
	// +kubebuilder:validation:XValidation:rule="self.phases.exists_one(p, p.name == self.position.phase)",message="position: it names no phase of the plan"
	Spec plan.Spec `json:"spec"`
	// Status is written by Changeover alone.
	//
	// +optional
	// +structType=atomic
	Status MigrationPlanStatus `json:"status,omitzero"`
}

// MigrationPlanStatus is what the daemon knows of a plan.
type MigrationPlanStatus struct {
	// ObservedGeneration is that of the spec which the status speaks of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Phase that is in effect; none where nothing was entered yet.
	Phase string `json:"phase,omitempty"`
	// Percent of the traffic that the stop in effect sends to modern.
	Percent *plan.Percent `json:"percent,omitempty"`
	// State in one word: Steady, Progressing, Waiting, RollingBack,
	// RolledBackUnpushed, Quarantined, Halted, Suspended, Complete, Invalid,
	// Orphaned or Degraded.
	State string `json:"state,omitempty"`
	// Reason of the last decision, in one word.
	Reason string `json:"reason,omitempty"`
	// Message of the last decision, for people. Where only numbers in it
	// changed since, it is as old as the status.
	Message string `json:"message,omitempty"`
	// Blocks are all that keeps the plan from going forward. Where only
	// numbers and times in them changed since, they are as old as the status.
	//
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Blocks []Block `json:"blocks,omitempty"`
	// Next is the stop that is entered next: PHASE or PHASE@PERCENT. Empty
	// where another commit or a person must tell.
	Next string `json:"next,omitempty"`
	// Declared is the stop that Git wants: PHASE or PHASE@PERCENT.
	Declared string `json:"declared,omitempty"`
	// Effective is the stop that is in effect: PHASE, PHASE@PERCENT or none.
	Effective string `json:"effective,omitempty"`
	// Since when the stop is in effect with its content.
	Since *metav1.Time `json:"since,omitempty"`
	// Revision is the commit at which the spec was first seen.
	Revision string `json:"revision,omitempty"`
	// Applied is the commit whose content is in effect.
	Applied string `json:"applied,omitempty"`
	// Conditions for kubectl wait and other tools.
	//
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// History has the newest entries, oldest first.
	History []Entry `json:"history,omitempty"`
	// Holds are the commits that were rolled back and are not entered again.
	Holds []Hold `json:"holds,omitempty"`
	// Pending is a revert that is not yet on the branch.
	Pending *Pending `json:"pending,omitempty"`
	// Record is the daemon's memory of the plan. It is not to be edited.
	//
	// +structType=atomic
	Record *runtime.RawExtension `json:"record,omitempty"`
	// RecordSerial counts how often the record was saved.
	RecordSerial int64 `json:"recordSerial,omitempty"`
	// RecordDigest is the SHA-256 sum of the record, in hex.
	RecordDigest string `json:"recordDigest,omitempty"`
	// RecordedBy is the daemon that wrote the record: its host and a random
	// number.
	RecordedBy string `json:"recordedBy,omitempty"`
}

// Block is one thing that keeps a plan from going forward.
type Block struct {
	// Reason in one word.
	Reason string `json:"reason"`
	// Message for people.
	Message string `json:"message,omitempty"`
	// Until when time alone may lift it; none: never.
	Until *metav1.Time `json:"until,omitempty"`
}

// Entry is a line of a plan's history.
type Entry struct {
	// At is when it happened, to the nanosecond.
	//
	// +kubebuilder:validation:Format=date-time
	At      string   `json:"at"`
	Verb    string   `json:"verb,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	From    string   `json:"from,omitempty"`
	To      string   `json:"to,omitempty"`
	Message string   `json:"message,omitempty"`
	Commits []string `json:"commits,omitempty"`
	// Evidence are the gates that led to it, with their values.
	Evidence []runtime.RawExtension `json:"evidence,omitempty"`
}

// Hold is a commit that was rolled back.
type Hold struct {
	Commit string      `json:"commit"`
	At     metav1.Time `json:"at"`
}

// Pending is a revert that is not yet on the branch.
type Pending struct {
	// Undo are the commits to revert, newest first.
	Undo    []string    `json:"undo,omitempty"`
	From    string      `json:"from"`
	Target  string      `json:"target"`
	Reason  string      `json:"reason,omitempty"`
	Message string      `json:"message,omitempty"`
	At      metav1.Time `json:"at"`
	// Branch has the revert where the watched branch refused it.
	Branch string `json:"branch,omitempty"`
}
