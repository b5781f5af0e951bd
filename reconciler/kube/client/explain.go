package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
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
	case isAdmission(st):
		return admission(st.Message), nil
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
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return "the API server did not answer in time; it is tried again", nil
	case apierrors.IsRequestEntityTooLargeError(err):
		return "it is larger than the API server takes", nil
	}
	if words := unfit(st.Message); words != "" {
		return words, nil
	}
	if st.Code >= 500 {
		return strings.TrimSuffix(fmt.Sprintf("the API server failed (%d %s", st.Code, st.Reason), " ") + "); it is tried again", nil
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

// plain are the beginnings of refusals that hold no value of the object, but
// names, fields and amounts.
var plain = []string{
	"exceeded quota", "failed quota", "violates PodSecurity", "error looking up service account", "unable to create new content in namespace",
	"maximum ", "minimum ", "no PriorityClass",
}

// forbidden names the permission: the server's own words do, and hold no value.
// Admission plugins answer with the same code; of them only what is known to
// hold no value is repeated.
func forbidden(st metav1.Status) string {
	_, why, ok := strings.Cut(st.Message, " is forbidden: ")
	if !ok {
		_, why, ok = strings.Cut(st.Message, " forbidden: ")
	}
	switch {
	case !ok:
	case strings.HasPrefix(why, "User "):
		return "permission is missing: " + clip(why)
	case strings.HasPrefix(why, "user ") && strings.Contains(why, "attempting to grant"):
		// Nobody may grant what he may not do himself.
		_, rights, _ := strings.Cut(why, "\n")
		user, _, _ := strings.Cut(why, " (")
		return "permission is missing: " + user + " may not grant rights that it does not have itself: " + clip(strings.ReplaceAll(rights, "\n", "; "))
	case slices.ContainsFunc(plain, func(p string) bool { return strings.HasPrefix(why, p) }):
		return clip(why)
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

// fixed are the words of API servers for fields that cannot be changed.
var fixed = []string{"immutable", "updates to", "updates may not change", "cannot change roleRef"}

func immutable(st metav1.Status) bool {
	if st.Details == nil {
		return false
	}
	return slices.ContainsFunc(st.Details.Causes, func(c metav1.StatusCause) bool {
		return slices.ContainsFunc(fixed, func(f string) bool { return strings.Contains(c.Message, f) })
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
// what it says after it. What follows the first line is a comparison of values.
func withoutValue(msg string) string {
	msg, _, _ = strings.Cut(msg, "\n")
	kind, rest, ok := strings.Cut(msg, ": ")
	switch kind {
	case "Required value", "Forbidden", "Too many", "Too long":
		return clip(msg)
	case "Invalid value", "Unsupported value", "Duplicate value", "Not found", "Internal error":
		// Texts and objects among the values are quoted.
		why := rest[strings.LastIndex(rest, ": ")+1:]
		if ok && why != "" && !strings.ContainsAny(why, `"{}`) {
			return clip(kind + ": " + strings.TrimSpace(why))
		}
		return kind
	}
	return ""
}

func clip(s string) string {
	const most = 300
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// misfit is one reason why a manifest is none of its kind: the field, and what
// is wrong with it. A value follows `got`.
var misfit = regexp.MustCompile(`(?m)(\.[^\n]*?): (field not declared in schema|expected [a-z(), ]+?|duplicate entries)(?:, got|,? for key|$)`)

// unknownField is one that strict validation found.
var unknownField = regexp.MustCompile(`(unknown|duplicate) field "([^"\n]+)"`)

// unfit says why the API server could not read a manifest as one of its kind;
// empty where that is not the matter. It answers 400 or, of all things, 500.
func unfit(msg string) string {
	var parts []string
	switch {
	case strings.Contains(msg, "failed to create typed patch object"):
		for _, m := range misfit.FindAllStringSubmatch(msg, 100) {
			field := m[1]
			// The first may follow the name of the object.
			if i := strings.LastIndex(field, ": ."); i >= 0 {
				field = field[i+2:]
			}
			parts = append(parts, field+" ("+strings.TrimSpace(m[2])+")")
		}
	case strings.Contains(msg, "strict decoding error"):
		for _, m := range unknownField.FindAllStringSubmatch(msg, 100) {
			parts = append(parts, m[2]+" ("+m[1]+" field)")
		}
	case strings.Contains(msg, "illegal base64 data"):
		parts = append(parts, "a value of data is not base64: write it so, or put it into stringData")
	case strings.Contains(msg, "unable to convert"), strings.Contains(msg, "error decoding"):
		parts = append(parts, "a field has a value of the wrong type")
	default:
		return ""
	}
	words := "the manifest does not fit its kind"
	if len(parts) > 0 {
		// The server goes over maps: the same fault is to read the same each time.
		slices.Sort(parts)
		words += ": " + clip(strings.Join(parts, ", "))
	}
	return words
}

// singular of the name of a resource, as far as people mind.
func singular(resource string) string {
	switch {
	case strings.HasSuffix(resource, "sses"):
		return strings.TrimSuffix(resource, "es")
	case strings.HasSuffix(resource, "ies"):
		return strings.TrimSuffix(resource, "ies") + "y"
	}
	return strings.TrimSuffix(resource, "s")
}

func notFound(st metav1.Status) string {
	if d := st.Details; d != nil && d.Name != "" {
		if d.Kind == "namespaces" {
			return fmt.Sprintf("namespace %q does not exist: create it, or add it to the kustomization", d.Name)
		}
		return fmt.Sprintf("%s %q does not exist", singular(d.Kind), d.Name)
	}
	return "the API server does not serve it: is its CustomResourceDefinition applied?"
}

// isAdmission reports whether a webhook or policy of the cluster's owners is
// what refuses. Their codes and reasons are their own.
func isAdmission(st metav1.Status) bool {
	return strings.Contains(st.Message, "failed calling webhook") || strings.Contains(st.Message, "admission webhook") ||
		strings.Contains(st.Message, "ValidatingAdmissionPolicy '")
}

// admission names the webhook or policy and whether it failed or denied. What
// it said is not repeated: it may quote the object.
func admission(msg string) string {
	if _, rest, ok := strings.Cut(msg, "ValidatingAdmissionPolicy '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		return fmt.Sprintf("admission policy %q denied the request: see its rules for the reason", name)
	}
	name := ""
	if _, rest, ok := strings.Cut(msg, `webhook "`); ok {
		name, _, _ = strings.Cut(rest, `"`)
	}
	switch {
	case !strings.Contains(msg, "failed calling webhook"):
		return fmt.Sprintf("admission webhook %q denied the request: its log has the reason", name)
	case strings.Contains(msg, "context deadline exceeded"), strings.Contains(msg, "imeout"):
		return fmt.Sprintf("admission webhook %q did not answer in time; it is tried again", name)
	}
	return fmt.Sprintf("admission webhook %q cannot be called; it is tried again", name)
}

// unreached puts an error without an answer in words.
func unreached(err error) error {
	var netErr net.Error
	switch {
	case strings.Contains(err.Error(), "client rate limiter"):
		return &Failure{Words: "so much is asked of the API server that the time ran out in the queue; it is tried again (--kube-qps allows more)", cause: err}
	case errors.As(err, &netErr) && netErr.Timeout():
		return &Failure{Words: "the API server did not answer in time; it is tried again", cause: err}
	case Unreachable(err):
		return &Failure{Words: "the API server cannot be reached: " + clip(reason(err)) + "; it is tried again", cause: err}
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

// Unreachable reports whether the API server gave no answer, or none that ended.
func Unreachable(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, io.ErrUnexpectedEOF)
}
