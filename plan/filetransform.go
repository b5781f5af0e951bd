package plan

import "fmt"

// FileTransformKind identifies a document as a FileTransform.
const FileTransformKind = "FileTransform"

// FileTransform makes documents out of documents in files. It is read by
// `changeover transform --files` alone.
type FileTransform struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Spec       FileTransformSpec `json:"spec"`
}

// FileTransformSpec has CEL expressions over `object`, the document that is read,
// and `file`, its name and path.
type FileTransformSpec struct {
	// When is a condition; without one every document is taken.
	When string `json:"when,omitempty"`
	// Name of the file that is written, without its ending; the name of the
	// file that is read where it is left out.
	Name string `json:"name,omitempty"`
	// Object is the map that is written.
	Object string `json:"object"`
	// Verify expressions are read over `target` too, what was made. All must
	// hold.
	Verify []string `json:"verify,omitempty"`
}

// DecodeFileTransform reads a file strictly, as Decode reads a plan's. Expressions
// are not looked into.
func DecodeFileTransform(file string, src []byte) (FileTransform, *Document, []Problem) {
	var t FileTransform
	d, w, ps := readAs(file, src, &t)
	if w == nil || len(ps) > maxProblems {
		return t, d, ps
	}
	v := validator{d: d, p: d.Plan, bad: w.bad}
	if t.APIVersion != APIVersion {
		v.at("apiVersion", "api-version", fmt.Sprintf("apiVersion %s is not known", shorten(t.APIVersion)), "this version of Changeover reads "+APIVersion)
	}
	if t.Kind != FileTransformKind {
		v.at("kind", "kind", fmt.Sprintf("kind %s is no transform over files", shorten(t.Kind)), "write kind: "+FileTransformKind)
	}
	ps = append(ps, v.problems...)
	Sort(ps)
	return t, d, ps
}
