package status

import (
	"strings"
	"testing"
)

func TestReadinessInWords(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		replicas int64
		want     string // empty: ready
	}{
		"a ConfigMap is ready": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`, Unsaid, ""},
		"a Deployment whose replicas are ready": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 2},
			status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2}}`, Unsaid, ""},
		"a Deployment without replicas asks for one": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 1}, spec: {}, status: {observedGeneration: 1}}`,
			Unsaid, "0 of 1 replicas are ready"},
		"a Deployment that nobody looked at": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 0}, status: {observedGeneration: 1}}`,
			Unsaid, "has not seen the change"},
		"a Deployment of zero is ready": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 1}, spec: {replicas: 0}, status: {observedGeneration: 1}}`, Unsaid, ""},
		"a Deployment in its rollout": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 2},
			status: {observedGeneration: 2, replicas: 3, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2}}`, Unsaid, "1 of 2 replicas are ready"},
		"old pods still answer": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 2},
			status: {observedGeneration: 2, replicas: 3, updatedReplicas: 2, readyReplicas: 3, availableReplicas: 3}}`, Unsaid, "1 of its former version"},
		"replicas that nobody wants are not waited for": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 5},
			status: {observedGeneration: 2, replicas: 5, updatedReplicas: 5, readyReplicas: 2, availableReplicas: 2}}`, 2, ""},
		"a Deployment that gave up": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 1}, spec: {replicas: 1},
			status: {observedGeneration: 1, conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]}}`, Unsaid, "its progress deadline is exceeded"},
		"a Deployment that may not make pods": {`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 1}, spec: {replicas: 1},
			status: {observedGeneration: 1, conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: exceeded quota}]}}`, Unsaid, "FailedCreate, exceeded quota"},
		"a StatefulSet": {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 3}, status: {observedGeneration: 1, readyReplicas: 1}}`, Unsaid, "1 of 3 replicas are ready"},
		"a StatefulSet in its rollout": {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 3},
			status: {observedGeneration: 1, readyReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, Unsaid, "1 of 3 replicas are of its current version"},
		"a StatefulSet up to its partition": {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}},
			status: {observedGeneration: 1, readyReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, Unsaid, ""},
		"a StatefulSet that a person updates": {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 1, updateStrategy: {type: OnDelete}},
			status: {observedGeneration: 1, readyReplicas: 1, currentRevision: a, updateRevision: b}}`, Unsaid, ""},
		"a DaemonSet": {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 1, numberAvailable: 1}}`,
			Unsaid, "1 of 2 replicas are ready"},
		"a ReplicaSet": {`{apiVersion: apps/v1, kind: ReplicaSet, metadata: {generation: 1}, spec: {replicas: 1}, status: {observedGeneration: 1}}`, Unsaid, "0 of 1 replicas are ready"},
		"a Job that runs is not ready": {`{apiVersion: batch/v1, kind: Job, spec: {completions: 2}, status: {startTime: "2026-03-01T12:00:00Z", active: 1, succeeded: 1}}`,
			Unsaid, "1 of 2 completions have succeeded"},
		"a Job that is complete": {`{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Complete, status: "True"}]}}`, Unsaid, ""},
		"a Job that failed": {`{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]}}`,
			Unsaid, "it failed: BackoffLimitExceeded, Job has reached the specified backoff limit"},
		"a suspended Job":         {`{apiVersion: batch/v1, kind: Job, spec: {suspend: true}}`, Unsaid, "suspended"},
		"a definition":            {`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, status: {conditions: [{type: Established, status: "True"}]}}`, Unsaid, ""},
		"a young definition":      {`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition}`, Unsaid, "not established"},
		"a name that is taken":    {`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, status: {conditions: [{type: NamesAccepted, status: "False", reason: PluralConflict}]}}`, Unsaid, "not accepted: PluralConflict"},
		"an object that goes":     {`{apiVersion: v1, kind: ConfigMap, metadata: {deletionTimestamp: "2026-03-01T12:00:00Z", finalizers: [a/b, c/d]}}`, Unsaid, "waits for its finalizers: a/b, c/d"},
		"a claim without volume":  {`{apiVersion: v1, kind: PersistentVolumeClaim, status: {phase: Pending}}`, Unsaid, "PVC is not Bound"},
		"a custom object":         {`{apiVersion: example.com/v1, kind: Thing, metadata: {generation: 1}}`, Unsaid, ""},
		"one that is not ready":   {`{apiVersion: example.com/v1, kind: Thing, status: {conditions: [{type: Ready, status: "False", reason: Waiting, message: for a friend}]}}`, Unsaid, "Ready is False: Waiting, for a friend"},
		"an old generation of it": {`{apiVersion: example.com/v1, kind: Thing, metadata: {generation: 2}, status: {observedGeneration: 1}}`, Unsaid, "generation"},
		"a route is read as one":  {`{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute}`, Unsaid, "names no parent"},
		"a Gateway is read as it": {`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway}`, Unsaid, "has not said Accepted"},
		"its class is another":    {`{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass}`, Unsaid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ok, why := Of(integers(object(t, c.text)).(map[string]any), c.replicas)
			if ok != (c.want == "") || !strings.Contains(why, c.want) || ok != (why == "") {
				t.Errorf("got %v %q, want %q", ok, why, c.want)
			}
		})
	}
}

func TestWhatNobodyWaitsFor(t *testing.T) {
	for kind, want := range map[[2]string]bool{
		{"", "ConfigMap"}: false, {"", "Pod"}: true, {"rbac.authorization.k8s.io", "Role"}: false, {"apps", "Deployment"}: true,
		{"networking.k8s.io", "NetworkPolicy"}: false, {"networking.k8s.io", "Ingress"}: true, {"example.com", "ConfigMap"}: true,
	} {
		if got := Awaited(kind[0], kind[1]); got != want {
			t.Errorf("Awaited%v = %v", kind, got)
		}
	}
}

// integers are what an API server's JSON is decoded into.
func integers(v any) any {
	switch v := v.(type) {
	case float64:
		return int64(v)
	case map[string]any:
		for k, e := range v {
			v[k] = integers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = integers(e)
		}
	}
	return v
}
