package plan

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	syaml "sigs.k8s.io/yaml"
)

// ApprovalKind identifies a document as an Approval.
const ApprovalKind = "Approval"

// Approval is the consent of a person that a stop is entered, by one raise, or
// that one item of the stop's checklist is done. It stands in a file of its own
// in approvals/PLAN/ below the watched folder, and is no part of the plan: it
// changes nothing that is applied, and a rollback leaves it alone.
type Approval struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Spec       ApprovalSpec `json:"spec"`
}

// ApprovalSpec is what is approved.
type ApprovalSpec struct {
	// Plan by its name, or NAMESPACE/NAME.
	Plan string `json:"plan"`
	// Stop that may be entered: PHASE or PHASE@PERCENT.
	Stop string `json:"stop"`
	// Raise is the commit that raised the position, by its full name or at
	// least 12 digits of it: an approval of one raise says nothing about the
	// next.
	Raise string `json:"raise"`
	// Role of the plan for which the person approves.
	Role string `json:"role"`
	// Item of the stop's checklist that is done. Without one the stop itself
	// is approved.
	Item string `json:"item,omitempty"`
	// By is for people: who approves is told by the commit.
	By string `json:"by,omitempty"`
	// Note is for people.
	Note string `json:"note,omitempty"`
}

var raiseName = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// DecodeApproval reads an approval's file strictly, as Decode reads a plan's.
// The approval is whole only where there are no problems.
func DecodeApproval(file string, src []byte) (Approval, []Problem) {
	var a Approval
	d, w, ps := readAs(file, src, &a)
	if w == nil || len(ps) > maxProblems {
		return a, ps
	}
	v := validator{d: d, p: d.Plan, bad: w.bad}
	if a.APIVersion != APIVersion {
		v.at("apiVersion", "api-version", fmt.Sprintf("apiVersion %s is not known", shorten(a.APIVersion)), "this version of Changeover reads "+APIVersion)
	}
	if a.Kind != ApprovalKind {
		v.at("kind", "kind", fmt.Sprintf("kind %s is not an approval", shorten(a.Kind)), "write kind: "+ApprovalKind)
	}
	name := a.Spec.Plan
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		v.label("spec.plan", "a namespace", namespace)
		name = rest
	}
	v.label("spec.plan", "the name of a plan", name)
	if _, err := ParsePosition(a.Spec.Stop); err != nil {
		v.at("spec.stop", "position", fmt.Sprintf("%s is not a stop", shorten(a.Spec.Stop)), "write PHASE or PHASE@PERCENT, such as gradual@25")
	}
	if !raiseName.MatchString(a.Spec.Raise) {
		v.at("spec.raise", "raise", fmt.Sprintf("%s is not the name of a commit", shorten(a.Spec.Raise)), "give the full name of the commit that raised the position, as `git log` prints it")
	}
	v.label("spec.role", "the name of a role", a.Spec.Role)
	ps = append(ps, v.problems...)
	Sort(ps)
	return a, ps
}

// readAs is read for any type.
func readAs(file string, src []byte, target any) (*Document, *walker, []Problem) {
	d := &Document{File: file, Source: src, Plan: &Plan{}, text: newText(string(src)), nodes: map[string]place{}}
	if ps := d.scan(); len(ps) > 0 {
		return d, nil, ps
	}
	root, ps := d.parse()
	if root == nil {
		return d, nil, ps
	}
	w := &walker{d: d, problems: ps}
	d.nodes[""] = place{value: root}
	if !w.value("", root, reflect.TypeOf(target).Elem()) {
		return d, nil, w.problems
	}
	if err := syaml.UnmarshalStrict(w.json, target, syaml.DisallowUnknownFields); err != nil {
		// The walk lets only what fits the types through.
		w.add(root, "internal", fmt.Sprintf("read the file: %v", err), "this is a defect of Changeover; please report it")
	}
	return d, w, w.problems
}

var approvalClaim = regexp.MustCompile(`(?m)(^|^\s*\{|,\s*|^\s*")["']?kind["']?\s*:\s*["']?Approval\b`)

// IsApproval reports whether a file claims by its text to hold an Approval of
// the group changeover.dev.
func IsApproval(src []byte) bool {
	return approvalClaim.Match(src) && claims.version.Match(src)
}
