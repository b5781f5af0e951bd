package kubetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Request is one that the API server has answered.
type Request struct {
	// Verb is one of get, list, watch, create, update, patch, delete,
	// deletecollection; for paths that are no resource, the HTTP method.
	Verb      string
	UserAgent string
	// User is who asked, As who it acted as (empty where it did not).
	User, As string
	// Group, Resource, Subresource, Namespace and Name are empty where there is
	// none.
	Group, Resource, Subresource, Namespace, Name string
	// URI is the path with the query.
	URI  string
	Code int
	At   time.Time
}

// String is one line.
func (r Request) String() string {
	return fmt.Sprintf("%s %s: %d, by %s (%s)", r.Verb, r.URI, r.Code, r.User, r.UserAgent)
}

// Requests are in the order in which they were answered; a watch counts when it
// begins.
type Requests []Request

// Where keeps those that fit.
func (r Requests) Where(fits func(Request) bool) (kept Requests) {
	for _, q := range r {
		if fits(q) {
			kept = append(kept, q)
		}
	}
	return kept
}

// By keeps those of programs whose user agent begins so.
func (r Requests) By(agent string) Requests {
	return r.Where(func(q Request) bool { return strings.HasPrefix(q.UserAgent, agent) })
}

// Verb keeps those with one of these verbs.
func (r Requests) Verb(verbs ...string) Requests {
	return r.Where(func(q Request) bool { return slices.Contains(verbs, q.Verb) })
}

// Writes keeps those that may change something. Reviews (who may do what) are
// posted and change nothing; a dry run neither.
func (r Requests) Writes() Requests {
	return r.Verb("create", "update", "patch", "delete", "deletecollection").Where(func(q Request) bool {
		return !strings.HasSuffix(q.Resource, "reviews") && !strings.Contains(q.URI, "dryRun=All")
	})
}

// Count is how many there are of each verb and resource, as "patch deployments".
func (r Requests) Count() map[string]int {
	counts := map[string]int{}
	for _, q := range r {
		what := q.Resource
		if q.Subresource != "" {
			what += "/" + q.Subresource
		}
		if what == "" {
			what, _, _ = strings.Cut(q.URI, "?")
		}
		counts[q.Verb+" "+what]++
	}
	return counts
}

// String is a line for each verb and resource.
func (r Requests) String() string {
	var b strings.Builder
	counts := r.Count()
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%6d %s\n", counts[what], what)
	}
	return b.String()
}

// Audit reads the audit log from the moment on in which it was made. Its
// methods are for one goroutine.
type Audit struct {
	kube   *Kube
	offset int64
	seen   Requests
}

// Audit begins to read the requests; the cluster needs cluster.Options.Audit.
func (k *Kube) Audit(t testing.TB) *Audit {
	t.Helper()
	if k.AuditLog == "" {
		t.Fatal("read the audit log: the cluster was started without cluster.Options.Audit")
	}
	a := &Audit{kube: k}
	a.Requests(t) // all up to here
	a.seen = nil
	return a
}

// Requests are those that were answered since Audit: every request whose answer
// a client had in whole before this call is among them.
func (a *Audit) Requests(t testing.TB) Requests {
	t.Helper()
	// A line is written before the end of the answer, so that all earlier ones
	// stand before that of a request which is made here.
	marker := fmt.Sprintf("kubetest-marker-%d", a.kube.markers.Add(1))
	ctx, cancel := within()
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.kube.URL+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", marker)
	resp, err := a.kube.http.Do(req)
	if err != nil {
		t.Fatalf("mark a moment in the audit log: %v", err)
	}
	resp.Body.Close()
	found := false
	if err := wait(10*time.Second, func() bool {
		found, err = a.read(marker)
		return found || err != nil
	}); err != nil {
		t.Fatalf("read the audit log: the request that marks the moment: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(a.seen)
}

// event is a line of the log.
type event struct {
	Stage, Verb, UserAgent, RequestURI string
	User                               struct{ Username string }
	ImpersonatedUser                   struct{ Username string }
	ObjectRef                          struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	ResponseStatus                     struct{ Code int }
	StageTimestamp                     time.Time
}

// read takes whole lines up to the marker's.
func (a *Audit) read(marker string) (found bool, err error) {
	f, err := os.Open(a.kube.AuditLog)
	if err != nil {
		return false, fmt.Errorf("open the audit log: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(a.offset, io.SeekStart); err != nil {
		return false, fmt.Errorf("read the audit log: %w", err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return false, fmt.Errorf("read the audit log: %w", err)
	}
	for !found {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return false, nil
		}
		text = rest
		a.offset += int64(len(line)) + 1
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return false, fmt.Errorf("read the audit log: %w", err)
		}
		found = e.UserAgent == marker
		if !found && counts(e) {
			a.seen = append(a.seen, request(e))
		}
	}
	return true, nil
}

// counts tells whether a line is a request of its own. A watch has one when it
// begins and one, long after, when it ends; markers are none.
func counts(e event) bool {
	if strings.HasPrefix(e.UserAgent, "kubetest-marker-") {
		return false
	}
	if e.Verb == "watch" && e.ResponseStatus.Code < http.StatusBadRequest {
		return e.Stage == "ResponseStarted"
	}
	return e.Stage != "ResponseStarted"
}

func request(e event) Request {
	o := e.ObjectRef
	return Request{
		Verb: e.Verb, UserAgent: e.UserAgent, User: e.User.Username, As: e.ImpersonatedUser.Username,
		Group: o.APIGroup, Resource: o.Resource, Subresource: o.Subresource, Namespace: o.Namespace, Name: o.Name,
		URI: e.RequestURI, Code: e.ResponseStatus.Code, At: e.StageTimestamp,
	}
}
