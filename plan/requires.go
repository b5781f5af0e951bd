package plan

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Requires is what the cluster must offer.
type Requires struct {
	// Kubernetes is a range of versions, such as >=1.25.
	Kubernetes string `json:"kubernetes,omitempty"`
	// APIs must be served: GROUP/VERSION/KIND, or VERSION/KIND of the core.
	APIs []string `json:"apis,omitempty"`
}

// Allows reports whether a version of Kubernetes, as an API server tells it
// (v1.36.1, 1.29.4-gke.100, 1.27+), is in the range; every version is where
// there is none. Bounds without a patch count for all patches: >1.28 begins
// with 1.29.0, and <=1.28 ends with the last 1.28. What follows the patch does
// not count. The error says that the version or the range cannot be read.
func (r *Requires) Allows(version string) (bool, error) {
	if r == nil {
		return true, nil
	}
	bounds, err := parseRange(r.Kubernetes)
	if err != nil {
		return false, err
	}
	m := kubernetesVersion.FindStringSubmatch(version)
	if m == nil {
		return false, fmt.Errorf("parse version %q of Kubernetes: want MAJOR.MINOR or MAJOR.MINOR.PATCH", version)
	}
	for _, b := range bounds {
		if !b.allows(numbers(m[1:])) {
			return false, nil
		}
	}
	return true, nil
}

// ParseAPI reads GROUP/VERSION/KIND, or VERSION/KIND of the core, whose group
// is empty.
func ParseAPI(s string) (group, version, kind string, err error) {
	parts := strings.Split(s, "/")
	switch len(parts) {
	case 2:
		version, kind = parts[0], parts[1]
	case 3:
		group, version, kind = parts[0], parts[1], parts[2]
	}
	if len(parts) == 3 && !isSubdomain(group) || !apiVersion.MatchString(version) || !apiKind.MatchString(kind) {
		return "", "", "", fmt.Errorf("parse API %s: want GROUP/VERSION/KIND, or VERSION/KIND of the core", shorten(s))
	}
	return group, version, kind, nil
}

var (
	kubernetesVersion = regexp.MustCompile(`^v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?(?:[+-][0-9A-Za-z.+_-]*)?$`)
	boundForm         = regexp.MustCompile(`^(>=|<=|>|<|=)[ ]*v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?([ ,]|$)`)
)

// bound is one constraint of a range of versions. Its version has two numbers
// where it counts for all patches.
type bound struct {
	op      string
	version []int
}

// parseRange reads constraints with blanks or commas between them, which must
// all hold.
func parseRange(s string) ([]bound, error) {
	var bs []bound
	for rest := strings.Trim(s, " ,"); rest != ""; {
		m := boundForm.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("parse range of versions %s: %s is no bound", shorten(s), shorten(rest))
		}
		bs = append(bs, bound{op: m[1], version: numbers(m[2:5])})
		rest = strings.TrimLeft(rest[len(m[0]):], " ,")
	}
	if s != "" && len(bs) == 0 {
		return nil, fmt.Errorf("parse range of versions %s: it has no bound", shorten(s))
	}
	return bs, nil
}

// numbers are the parts of a version, as many as it has.
func numbers(parts []string) []int {
	var ns []int
	for _, p := range parts {
		if n, err := strconv.Atoi(p); err == nil {
			ns = append(ns, n)
		}
	}
	return ns
}

// allows compares as many numbers as the bound has. A patch that the version
// does not tell counts as 0.
func (b bound) allows(version []int) bool {
	c := 0
	for i, n := range b.version {
		v := 0
		if i < len(version) {
			v = version[i]
		}
		if c = cmp.Compare(v, n); c != 0 {
			break
		}
	}
	switch b.op {
	case ">=":
		return c >= 0
	case ">":
		return c > 0
	case "<=":
		return c <= 0
	case "<":
		return c < 0
	}
	return c == 0
}
