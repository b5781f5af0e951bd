package kube

import (
	"slices"

	"github.com/changeover-dev/changeover/render"
)

// The stages, in the order in which they are applied. One begins only when all
// of the one before is applied.
const (
	stageDefinitions = iota // namespaces, and definitions until they are served
	stageBasics             // classes, limits, accounts and their rights
	stageRest
	stageAdmission // what has a say in later requests
	stages
)

const (
	groupCRD   = "apiextensions.k8s.io"
	groupRBAC  = "rbac.authorization.k8s.io"
	groupBatch = "batch"
	kindCRD    = "CustomResourceDefinition"
	kindJob    = "Job"
)

var stageOf = map[render.Kind]int{
	{Kind: "Namespace"}:              stageDefinitions,
	{Group: groupCRD, Kind: kindCRD}: stageDefinitions,

	{Kind: "ResourceQuota"}:                                    stageBasics,
	{Kind: "LimitRange"}:                                       stageBasics,
	{Kind: "ServiceAccount"}:                                   stageBasics,
	{Group: groupRBAC, Kind: "Role"}:                           stageBasics,
	{Group: groupRBAC, Kind: "ClusterRole"}:                    stageBasics,
	{Group: groupRBAC, Kind: "RoleBinding"}:                    stageBasics,
	{Group: groupRBAC, Kind: "ClusterRoleBinding"}:             stageBasics,
	{Group: "storage.k8s.io", Kind: "StorageClass"}:            stageBasics,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:        stageBasics,
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:               stageBasics,
	{Group: "networking.k8s.io", Kind: "IngressClass"}:         stageBasics,
	{Group: "gateway.networking.k8s.io", Kind: "GatewayClass"}: stageBasics,

	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}:     stageAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}:   stageAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}:        stageAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"}: stageAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"}:          stageAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicyBinding"}:   stageAdmission,
}

// early are the kinds of the rest that others of it rely on, as kustomize
// orders them.
var early = []render.Kind{
	{Kind: "ConfigMap"}, {Kind: "Secret"}, {Kind: "PersistentVolume"}, {Kind: "PersistentVolumeClaim"},
	{Kind: "Endpoints"}, {Kind: "Service"}, {Group: "networking.k8s.io", Kind: "NetworkPolicy"},
}

// step is where an object stands in the order: its stage and its turn in it.
// Objects of one step are applied together.
type step struct{ stage, turn int }

// Objects that bind come after what they bind, as the API server checks the
// rights of whoever binds them.
var binding = []string{"RoleBinding", "ClusterRoleBinding", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"}

func stepOf(id render.ID) step {
	k := render.Kind{Group: id.Group, Kind: id.Kind}
	stage, ok := stageOf[k]
	switch {
	case ok && slices.Contains(binding, id.Kind):
		return step{stage, 1}
	case ok:
		return step{stage, 0}
	case slices.Contains(early, k):
		return step{stageRest, 0}
	}
	return step{stageRest, 1}
}

func (s step) before(o step) bool {
	return s.stage < o.stage || s.stage == o.stage && s.turn < o.turn
}

// compareSteps orders by step, for slices.SortStableFunc.
func compareSteps(a, b step) int {
	switch {
	case a.before(b):
		return -1
	case b.before(a):
		return 1
	}
	return 0
}
