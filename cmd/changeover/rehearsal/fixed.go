package rehearsal

import (
	"regexp"
	"slices"

	"github.com/changeover-dev/changeover/render"
)

// fixed are the fields of kinds that no API server lets change, by the paths
// of what differs. Whether it does is found by a dry run only where the object is
// live, and on the way most are not.
var fixed = map[render.Kind]*regexp.Regexp{
	{Group: "apps", Kind: "Deployment"}:                               regexp.MustCompile(`^spec\.selector`),
	{Group: "apps", Kind: "ReplicaSet"}:                               regexp.MustCompile(`^spec\.selector`),
	{Group: "apps", Kind: "DaemonSet"}:                                regexp.MustCompile(`^spec\.selector`),
	{Group: "apps", Kind: "StatefulSet"}:                              regexp.MustCompile(`^spec\.(selector|serviceName|volumeClaimTemplates|podManagementPolicy)`),
	{Group: "batch", Kind: "Job"}:                                     regexp.MustCompile(`^spec\.(selector|template\.spec|template\.metadata|completionMode)`),
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:         regexp.MustCompile(`^roleRef`),
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}:  regexp.MustCompile(`^roleRef`),
	{Group: "storage.k8s.io", Kind: "StorageClass"}:                   regexp.MustCompile(`^(provisioner|parameters|reclaimPolicy|volumeBindingMode)`),
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:               regexp.MustCompile(`^(value|preemptionPolicy)`),
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: regexp.MustCompile(`^spec\.(group|scope|names\.(kind|plural))$`),
	{Kind: "PersistentVolumeClaim"}:                                   regexp.MustCompile(`^spec\.(accessModes|storageClassName|volumeMode|selector|dataSource)`),
	{Kind: "Secret"}:                                                  regexp.MustCompile(`^type$`),
}

// stuck finds the objects that a stop would change and cannot. Those of which
// the API server has said so are left out. It is asked on the way forward alone:
// whoever does not get there need not come back.
func (w *walk) stuck(before *stage, s Stop) {
	if before == nil || before.desired == nil || s.Cluster == nil {
		return
	}
	for _, c := range s.Cluster.Changed {
		if s.DryRun != nil && slices.ContainsFunc(s.DryRun.Refused, func(r Reason) bool { return r.Object == c.Object }) {
			continue
		}
		i := slices.IndexFunc(before.desired.Objects, func(o render.Object) bool { return o.ID() == c.Object })
		if why := unchangeable(before.desired.Objects[i], c); why != "" {
			w.report.find(s.Stop, false, title(c.Object), why)
		}
	}
}

// unchangeable says which fields of a change the API server would refuse to
// change in the object as it was; empty where it would refuse none.
func unchangeable(old render.Object, c Change) string {
	kind := render.Kind{Group: c.Object.Group, Kind: c.Object.Kind}
	pattern := fixed[kind]
	spec, _ := old["spec"].(map[string]any)
	switch {
	case kind.Kind == "Job" && spec["ttlSecondsAfterFinished"] != nil:
		return "" // it is gone by then
	case (kind.Kind == "ConfigMap" || kind.Kind == "Secret") && kind.Group == "" && old["immutable"] == true:
		pattern = regexp.MustCompile(`^(data|stringData|binaryData|immutable|type)`)
	}
	var out []string
	for _, f := range c.Fields {
		if pattern != nil && pattern.MatchString(f.Path) {
			out = append(out, f.Path)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return few(out) + " cannot be changed once the object exists, and nothing is deleted to be recreated: " +
		"give the object another name at this stop, or leave the field as it was"
}
