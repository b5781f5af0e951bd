package kube

import (
	"slices"
	"testing"

	"github.com/changeover-dev/changeover/render"
)

func TestWhatOthersRelyOnComesFirst(t *testing.T) {
	for _, pair := range [][2]render.ID{
		{{Kind: "Namespace"}, {Kind: "ServiceAccount"}},
		{{Group: groupCRD, Kind: kindCRD}, {Group: groupRBAC, Kind: "ClusterRole"}},
		{{Group: groupRBAC, Kind: "Role"}, {Group: groupRBAC, Kind: "RoleBinding"}},
		{{Group: groupRBAC, Kind: "ClusterRole"}, {Group: groupRBAC, Kind: "ClusterRoleBinding"}},
		{{Group: groupRBAC, Kind: "ClusterRoleBinding"}, {Kind: "ConfigMap"}},
		{{Kind: "ResourceQuota"}, {Kind: "PersistentVolumeClaim"}},
		{{Group: "storage.k8s.io", Kind: "StorageClass"}, {Kind: "PersistentVolumeClaim"}},
		{{Kind: "Secret"}, {Group: "apps", Kind: "Deployment"}},
		{{Kind: "ConfigMap"}, {Group: "example.com", Kind: "Widget"}},
		{{Kind: "Service"}, {Group: groupBatch, Kind: kindJob}},
		{{Group: "apps", Kind: "Deployment"}, {Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}},
		{{Group: "example.com", Kind: "Widget"}, {Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}},
		{{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}, {Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"}},
	} {
		if !stepOf(pair[0]).before(stepOf(pair[1])) || stepOf(pair[1]).before(stepOf(pair[0])) {
			t.Errorf("%s does not come before %s", pair[0], pair[1])
		}
	}
	// A kind of the same name in another group is another kind.
	if stepOf(render.ID{Group: "example.com", Kind: "Namespace"}) != stepOf(render.ID{Group: "apps", Kind: "Deployment"}) {
		t.Error("a foreign Namespace is taken for one")
	}
}

func TestEveryStepIsApplied(t *testing.T) {
	for k, stage := range stageOf {
		s := stepOf(render.ID{Group: k.Group, Kind: k.Kind})
		if s.stage != stage || stage >= stages || !slices.Contains([]int{0, 1}, s.turn) {
			t.Errorf("%v is at %+v", k, s)
		}
	}
}
