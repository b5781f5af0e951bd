package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
)

// maxPrune bounds the objects that one stop may delete.
const maxPrune = 10000

// cluster checks where a phase's kustomization is. Whether it is there, and
// whether it stays in the repository, is for those who read it.
func (v *validator) cluster(at string, c *Cluster) {
	at += ".cluster"
	if v.whole(at + ".path") {
		v.folder(at+".path", c.Path)
	}
	if c.MaxPrune != nil && (*c.MaxPrune < 0 || *c.MaxPrune > maxPrune) {
		v.at(at+".maxPrune", "cluster", fmt.Sprintf("maxPrune %d is not between 0 and %d", *c.MaxPrune, maxPrune), fmt.Sprintf("leave it out for %d; prune: false deletes nothing", DefaultMaxPrune))
	}
	// The default stands in place of a 0 already.
	if n := v.d.nodes[at+".timeout"].value; n != nil {
		if d, err := ParseDuration(n.Value); err == nil && d == 0 {
			v.at(at+".timeout", "cluster", "the timeout is 0", fmt.Sprintf("leave it out for %s; after it a person is told, and the move goes on waiting", DefaultTimeout))
		}
	}
}

const remoteHint = "remote bases are never fetched: copy the files into the repository and name their folder"

// folder checks the path of a folder in the repository.
func (v *validator) folder(at, s string) {
	const code = "cluster-path"
	clean := path.Clean(s)
	switch {
	case isRemote(s) && strings.Contains(s, "@"):
		v.secret(at, code, "the path is a URL, and may hold a password", "credentials do not belong into Git; "+remoteHint)
	case isRemote(s):
		v.at(at, code, fmt.Sprintf("%s is not in the repository", shorten(s)), remoteHint)
	case len(s) > maxText:
		v.at(at, code, fmt.Sprintf("the path has %d bytes; at most %d are allowed", len(s), maxText), "")
	case strings.HasPrefix(s, "/"):
		v.at(at, code, fmt.Sprintf("path %s begins with /", shorten(s)), "paths are relative to the plan's file")
	case strings.Contains(s, `\`):
		v.at(at, code, fmt.Sprintf("path %s holds a backslash", shorten(s)), "write / between folders")
	case strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		v.at(at, code, fmt.Sprintf("path %s has blanks at its ends or characters that cannot be seen", shorten(s)), "")
	case clean != s:
		v.at(at, code, fmt.Sprintf("path %s is not normalized", shorten(s)), "write "+clean)
	}
}

// isRemote reports whether kustomize would look for something on a network.
func isRemote(s string) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(s, "www."), "/")
	host, _, _ = strings.Cut(host, ":")
	return strings.Contains(s, "://") || strings.Contains(s, "?") || strings.Contains(s, ".git//") ||
		strings.HasPrefix(s, "git::") || strings.HasPrefix(s, "git@") || strings.HasPrefix(s, "gh:") ||
		slices.Contains([]string{"github.com", "gitlab.com", "bitbucket.org"}, strings.ToLower(host))
}

// object checks the name and the reference of a live object.
func (v *validator) object(name string, o ObjectRef) {
	at := join("spec.objects", name)
	v.variable(at, "an object", name, "object.NAME")
	v.groupVersion(at+".apiVersion", "object", o.APIVersion)
	switch {
	case o.Kind == "":
	case !apiKind.MatchString(o.Kind):
		v.at(at+".kind", "object", fmt.Sprintf("%s is not a kind", shorten(o.Kind)), "write it as in manifests: Deployment")
	case o.Kind == "Secret" && !strings.Contains(o.APIVersion, "/"):
		v.at(at+".kind", "object", "gates may not read Secrets", "read an object that says the same without the secret, such as a Deployment")
	}
	if v.whole(at + ".name") {
		v.subdomain(at+".name", "the name of an object", o.Name)
	}
	if v.has(at + ".namespace") {
		v.label(at+".namespace", "a namespace", o.Namespace)
	}
}

// apiVersion checks the form of one, of a field that is reported when empty.
func (v *validator) apiVersion(path, code, s string) {
	group, version, grouped := strings.Cut(s, "/")
	if !grouped {
		group, version = "", s
	}
	if s != "" && (grouped && !isSubdomain(group) || !apiVersion.MatchString(version)) {
		v.at(path, code, fmt.Sprintf("%s is not an apiVersion", shorten(s)), "write it as in manifests: v1, or GROUP/VERSION such as apps/v1")
	}
}

// requires checks what the cluster must offer.
func (v *validator) requires() {
	const at = "spec.requires"
	r := v.p.Spec.Requires
	if r == nil {
		return
	}
	if r.Kubernetes == "" && len(r.APIs) == 0 && v.whole(at) {
		v.at(at, "requires", "nothing is required", "give kubernetes, apis or both, or leave requires out")
	}
	if _, err := parseRange(r.Kubernetes); err != nil {
		v.at(at+".kubernetes", "requires", err.Error(), "write bounds such as >=1.25, <1.34: each of >=, >, <=, <, = with MAJOR.MINOR or MAJOR.MINOR.PATCH")
	}
	for i, s := range r.APIs {
		at := fmt.Sprintf("%s.apis[%d]", at, i)
		if s == "" {
			continue
		}
		if _, _, _, err := ParseAPI(s); err != nil {
			v.at(at, "requires", err.Error(), "write GROUP/VERSION/KIND such as apps/v1/Deployment, or VERSION/KIND of the core such as v1/ConfigMap")
		} else if slices.Contains(r.APIs[:i], s) {
			v.at(at, "requires", fmt.Sprintf("%s is already in the list", s), "remove one of the two")
		}
	}
}

// account checks the account as which the cluster is read and written.
func (v *validator) account() {
	const at = "spec.serviceAccountName"
	name := v.p.Spec.ServiceAccountName
	if name == "" {
		return
	}
	v.subdomain(at, "the name of a ServiceAccount", name)
	used := v.has("spec.objects") || v.has("spec.gateway.gatewayAPI") || !v.whole("spec.gateway") || !v.whole("spec.objects") ||
		v.has("spec.entities.source.kubernetes") || v.has("spec.entities.modern.source.kubernetes") || !v.whole("spec.entities")
	for i := range v.p.Spec.Phases {
		cluster := phasePath(i) + ".cluster"
		used = used || v.has(cluster) || !v.whole(cluster) || v.has(phasePath(i)+".transforms") || v.has(phasePath(i)+".backup")
	}
	if !used {
		v.at(at, "service-account", "the plan neither reads nor writes a cluster, so the account does nothing",
			"remove serviceAccountName; it counts for cluster, backup and transforms of a phase, gateway: {gatewayAPI: ...}, objects, and entities in a cluster")
	}
}
