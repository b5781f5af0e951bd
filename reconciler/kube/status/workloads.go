package status

import "fmt"

// workloads say what is lacking of the replicas that are waited for; empty:
// nothing. kstatus is not asked, as for it a workload that is yet to be lowered
// is not ready before replicas are that nobody wants.
var workloads = map[string]func(o map[string]any, replicas int64) string{
	"apps/Deployment":        deployment,
	"apps/StatefulSet":       statefulSet,
	"apps/ReplicaSet":        replicaSet,
	"/ReplicationController": replicaSet,
	"apps/DaemonSet":         daemonSet,
}

// wanted is how many replicas must be ready: never more than the live object
// asks for.
func wanted(o map[string]any, replicas int64) int64 {
	n, ok := number(child(o, "spec")["replicas"])
	if !ok {
		n = 1
	}
	if replicas == Unsaid {
		return n
	}
	return min(n, replicas)
}

func count(o map[string]any, field string) int64 {
	n, _ := number(child(o, "status")[field])
	return n
}

// few says that there are fewer replicas than wanted.
func few(have, want int64, what string) string {
	if have >= want {
		return ""
	}
	return fmt.Sprintf("%d of %d replicas are %s", have, want, what)
}

func deployment(o map[string]any, replicas int64) string {
	want := wanted(o, replicas)
	why := few(min(count(o, "readyReplicas"), count(o, "availableReplicas"), count(o, "updatedReplicas")), want, "ready")
	if old := count(o, "replicas") - count(o, "updatedReplicas"); why == "" && old > 0 {
		why = fmt.Sprintf("%d of its former version are still there", old)
	}
	if why == "" {
		return ""
	}
	list := conditions(child(o, "status"))
	if c, ok := find(list, "ReplicaFailure"); ok && c.status == "True" {
		why += c.why()
	}
	if c, ok := find(list, "Progressing"); ok && c.reason == "ProgressDeadlineExceeded" {
		why += ", and its progress deadline is exceeded"
	}
	return why
}

func statefulSet(o map[string]any, replicas int64) string {
	want := wanted(o, replicas)
	if why := few(count(o, "readyReplicas"), want, "ready"); why != "" {
		return why
	}
	strategy := child(child(o, "spec"), "updateStrategy")
	if str(strategy, "type") == "OnDelete" {
		return ""
	}
	partition, _ := number(child(strategy, "rollingUpdate")["partition"])
	st := child(o, "status")
	if partition == 0 && str(st, "currentRevision") == str(st, "updateRevision") {
		return ""
	}
	return few(count(o, "updatedReplicas"), want-partition, "of its current version")
}

func replicaSet(o map[string]any, replicas int64) string {
	why := few(min(count(o, "readyReplicas"), count(o, "availableReplicas")), wanted(o, replicas), "ready")
	if c, ok := find(conditions(child(o, "status")), "ReplicaFailure"); ok && c.status == "True" && why != "" {
		why += c.why()
	}
	return why
}

func daemonSet(o map[string]any, _ int64) string {
	want := count(o, "desiredNumberScheduled")
	if str(child(child(o, "spec"), "updateStrategy"), "type") != "OnDelete" {
		if why := few(count(o, "updatedNumberScheduled"), want, "of its current version"); why != "" {
			return why
		}
	}
	return few(min(count(o, "numberReady"), count(o, "numberAvailable")), want, "ready")
}
