package client

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Failure is what an API server answered, in words. Unwrap gives the answer
// itself, for apierrors.IsNotFound and its like.
type Failure struct {
	Words string
	// Managers of the fields for which an apply was refused, sorted.
	Managers []string
	cause    error
}

// Error implements error.
func (f *Failure) Error() string { return f.Words }

// Unwrap gives the answer itself.
func (f *Failure) Unwrap() error { return f.cause }

// Explain puts an error of an API server in words: what is missing and who can
// mend it. An error of another kind is returned as it is. The words never hold
// a value of the object, as that may be a Secret's.
func Explain(err error) error {
	var f *Failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return unreached(err)
	}
	words, managers := explain(err, status.Status())
	return &Failure{Words: words, Managers: managers, cause: err}
}

func explain(err error, st metav1.Status) (words string, managers []string) {
	switch {
	case apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict):
		return conflict(st)
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return "the namespace is being deleted: wait until it is gone, or restore it", nil
	case apierrors.IsForbidden(err):
		return forbidden(st), nil
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept the credentials: they have expired or were withdrawn; renew the token or the certificate", nil
	case apierrors.IsTooManyRequests(err):
		return "the API server has too much to do (429); it is tried again", nil
	case apierrors.IsInvalid(err):
		return invalid(st), nil
	case apierrors.IsNotFound(err):
		return notFound(st), nil
	case apierrors.IsConflict(err):
		return "the object was changed by someone else meanwhile; it is tried again", nil
	case strings.Contains(st.Message, "failed calling webhook"), strings.Contains(st.Message, "admission webhook"):
		return webhook(st.Message), nil
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return "the API server did not answer in time; it is tried again", nil
	case apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err):
		return fmt.Sprintf("the API server failed (%d %s); it is tried again", st.Code, st.Reason), nil
	}
	return fmt.Sprintf("the API server refused it (%d %s)%s", st.Code, st.Reason, fieldsOf(st)), nil
}

// conflict names the managers and the fields, not the values.
func conflict(st metav1.Status) (string, []string) {
	var managers, fields []string
	for _, c := range st.Details.Causes {
		if c.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		// The message is: conflict with "MANAGER" using VERSION [at TIME]
		if _, rest, ok := strings.Cut(c.Message, `"`); ok {
			if name, _, ok := strings.Cut(rest, `"`); ok && !slices.Contains(managers, name) {
				managers = append(managers, name)
			}
		}
		fields = append(fields, c.Field)
	}
	slices.Sort(managers)
	slices.Sort(fields)
	return fmt.Sprintf("owned by another manager: %s (%s); nothing was forced: have %s give the fields up, leave them out of the manifest, or annotate it changeover.dev/force-conflicts: \"true\"",
		quoted(managers), strings.Join(slices.Compact(fields), ", "), quoted(managers)), managers
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ")
}

// forbidden names the permission: the server's own words do, and hold no value.
// An admission plugin or webhook that denies answers with the same code, in
// words of its own.
func forbidden(st metav1.Status) string {
	_, why, ok := strings.Cut(st.Message, " is forbidden: ")
	if !ok {
		_, why, ok = strings.Cut(st.Message, " forbidden: ")
	}
	if ok && strings.HasPrefix(why, "User ") {
		return "permission is missing: " + why
	}
	if strings.Contains(st.Message, "admission webhook") {
		return webhook(st.Message)
	}
	return "the API server forbids it, by its policy: see its audit log for the reason"
}

// invalid names the fields and what is wrong with them, not their values.
func invalid(st metav1.Status) string {
	s := "the API server finds it invalid"
	if immutable(st) {
		s = "a field cannot be changed once the object exists, and nothing is deleted to be recreated: give the object another name, or delete it by hand"
	}
	return s + fieldsOf(st)
}

func immutable(st metav1.Status) bool {
	if st.Details == nil {
		return false
	}
	return slices.ContainsFunc(st.Details.Causes, func(c metav1.StatusCause) bool {
		return strings.Contains(c.Message, "immutable") || strings.Contains(c.Message, "updates to") && strings.Contains(c.Message, "forbidden")
	})
}

// fieldsOf lists the fields of a refusal. A message ends with what is wrong and
// has the value, quoted or as JSON, before: what stands after the last `: ` is
// kept where no value can be in it.
func fieldsOf(st metav1.Status) string {
	if st.Details == nil {
		return ""
	}
	var out []string
	for _, c := range st.Details.Causes {
		f := c.Field
		if why := withoutValue(c.Message); why != "" {
			f += " (" + why + ")"
		}
		if f != "" && !slices.Contains(out, f) {
			out = append(out, f)
		}
		if len(out) == 10 {
			break
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, ", ")
}

// withoutValue keeps what a cause says before the value that it quotes, and
// what it says after it.
func withoutValue(msg string) string {
	kind, rest, ok := strings.Cut(msg, ": ")
	if !ok {
		return clip(msg)
	}
	switch kind {
	case "Required value", "Forbidden", "Too many", "Too long":
		return clip(kind + ": " + rest)
	case "Invalid value", "Unsupported value", "Duplicate value", "Not found", "Internal error":
		if i := strings.LastIndex(rest, ": "); i >= 0 && !strings.ContainsAny(rest[i:], `"{}`) {
			return clip(kind + ": " + rest[i+2:])
		}
		return kind
	}
	return ""
}

func clip(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

func notFound(st metav1.Status) string {
	if d := st.Details; d != nil && d.Name != "" {
		if d.Kind == "namespaces" {
			return fmt.Sprintf("namespace %q does not exist: create it, or add it to the kustomization", d.Name)
		}
		return fmt.Sprintf("%s %q does not exist", strings.TrimSuffix(d.Kind, "s"), d.Name)
	}
	return "the API server does not serve it: is its CustomResourceDefinition applied?"
}

// webhook names the webhook and whether it failed or denied. What it said is
// not repeated: it may quote the object.
func webhook(msg string) string {
	name := ""
	if _, rest, ok := strings.Cut(msg, `webhook "`); ok {
		name, _, _ = strings.Cut(rest, `"`)
	}
	switch {
	case strings.Contains(msg, "context deadline exceeded"), strings.Contains(msg, "Timeout"), strings.Contains(msg, "timeout"):
		return fmt.Sprintf("admission webhook %q did not answer in time; it is tried again", name)
	case strings.Contains(msg, "failed calling webhook"):
		return fmt.Sprintf("admission webhook %q cannot be called; it is tried again", name)
	}
	return fmt.Sprintf("admission webhook %q denied the request", name)
}

// unreached puts an error without an answer in words.
func unreached(err error) error {
	var netErr net.Error
	switch {
	case errors.As(err, &netErr) && netErr.Timeout():
		return &Failure{Words: "the API server did not answer in time; it is tried again", cause: err}
	case errors.As(err, &netErr):
		return &Failure{Words: "the API server cannot be reached: " + reason(err) + "; it is tried again", cause: err}
	}
	return err
}

// reason is the innermost words of a network error.
func reason(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// Unreachable reports whether the API server gave no answer.
func Unreachable(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr)
}
