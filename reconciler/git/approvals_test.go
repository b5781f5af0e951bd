package git

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

func approval(raise plan.Revision, edits ...string) string {
	text := fmt.Sprintf(`apiVersion: changeover.dev/v1alpha1
kind: Approval
spec: {plan: shop, stop: gradual@10, raise: %s, role: operations, by: Ben}
`, raise)
	return strings.NewReplacer(edits...).Replace(text)
}

// as commits as somebody.
func (f *fixture) as(who, message string, files ...string) plan.Revision {
	f.t.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		f.write(files[i], files[i+1])
	}
	f.git("add", "-A")
	cmd := exec.Command("git", "-c", "user.name=x", "-c", "user.email="+who, "commit", "-q", "-m", message)
	cmd.Dir = f.work
	f.tick++
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE="+epoch.Add(time.Duration(f.tick)*time.Minute).Format(time.RFC3339))
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("commit as %s: %v\n%s", who, err, out)
	}
	return f.rev("HEAD")
}

const okFile = "plans/approvals/shop/ben.yaml"

func approvals(t *testing.T, r *Repository) []decide.Approval {
	t.Helper()
	as, _, err := r.Approvals(t.Context(), shop, poll(t, r))
	if err != nil {
		t.Fatal(err)
	}
	return as
}

func TestApprovalsAreReadWithWhoBroughtThem(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	r := f.open()
	if as := approvals(t, r); len(as) != 0 {
		t.Errorf("there are none, but %+v", as)
	}
	by := f.as("Ben@Example.com", "ok", okFile, approval(raise))
	f.push()
	as := approvals(t, r)
	want := []decide.Approval{{
		File: okFile, Commit: by, Author: "ben@example.com", Stop: at("gradual@10"), Raise: raise, Role: "operations", By: "Ben",
	}}
	if len(as) == 1 {
		want[0].At = as[0].At
	}
	if diff := cmp.Diff(want, as); diff != "" || as[0].At.IsZero() {
		t.Fatal(diff)
	}
	f.as("eve@example.com", "more", okFile, approval(raise, "gradual@10", "gradual@25"))
	f.push()
	if as = approvals(t, r); len(as) != 1 || as[0].Author != "eve@example.com" || as[0].Stop != at("gradual@25") {
		t.Errorf("who changes an approval makes it: %+v", as)
	}
	f.git("revert", "--no-edit", "HEAD")
	f.git("rm", "-q", okFile)
	f.as("eve@example.com", "gone")
	f.push()
	if as = approvals(t, r); len(as) != 0 {
		t.Errorf("it was removed, but %+v", as)
	}
}

func TestAnApprovalIsOfWhoWroteItNotOfWhoMerged(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	f.git("checkout", "-q", "-b", "ok")
	f.as("ben@example.com", "ok", okFile, approval(raise))
	f.git("checkout", "-q", "main")
	f.as("ada@example.com", "docs", "README.md", "more\n")
	f.git("-c", "user.name=m", "-c", "user.email=merger@example.com", "merge", "-q", "--no-ff", "-m", "merge", "ok")
	f.push()
	if as := approvals(t, f.open()); len(as) != 1 || as[0].Author != "ben@example.com" {
		t.Errorf("got %+v", as)
	}
}

func TestWhatIsNoApprovalOfThePlanIsLeftOutAndTold(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	f.as("ben@example.com", "several",
		okFile, approval(raise),
		"plans/approvals/shop/broken.yaml", approval(raise, "role:", "rôle:"),
		"plans/approvals/shop/elsewhere.yaml", approval(raise, "plan: shop", "plan: other/shop"),
		"plans/approvals/shop/elsewhere-broken.yaml", approval(raise, "plan: shop", "plan: other/shop", "gradual@10", "gradual@x"),
		"plans/approvals/shop/large.yaml", approval(raise)+strings.Repeat("# more\n", maxApprovalFile/7),
		"plans/approvals/shop/name.yaml", approval(raise, "plan: shop", "plan: a/b/c"),
		"plans/approvals/shop/other.yaml", approval(raise, "plan: shop", "plan: till"),
		"plans/approvals/shop/notes.txt", "nothing",
		"plans/approvals/till/broken.yaml", "no approval\n")
	f.push()
	r := f.open()
	for range 2 { // the second time from memory
		as, problems, err := r.Approvals(t.Context(), shop, poll(t, r))
		if err != nil || len(as) != 1 || as[0].File != okFile {
			t.Errorf("got %+v, %v", as, err)
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		const dir, warning = "plans/approvals/shop/", "the approval does not count: "
		want := []string{
			dir + "broken.yaml:3:1: warning: missing-field: " + warning + `field "spec.role" is missing`,
			dir + "large.yaml: warning: too-large: " + warning + "the file is larger than 64 KiB",
			dir + "name.yaml:3:14: warning: name: " + warning + `"b/c" cannot be the name of a plan`,
			dir + "other.yaml: warning: approval-plan: " + warning + `the approval is of plan "till", and stands in the folder of "shop"`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	}
}

func TestOfFilesThatAreNoApprovalsSomeAreTold(t *testing.T) {
	f := newFixture(t)
	files := []string{okFile, approval(f.promote("gradual@10"))}
	for i := range 2 * maxMisread {
		files = append(files, fmt.Sprintf("plans/approvals/shop/a%02d.yaml", i), "no approval\n")
	}
	f.as("eve@example.com", "many", files...)
	f.push()
	r := f.open()
	if as, ps, err := r.Approvals(t.Context(), shop, poll(t, r)); err != nil || len(as) != 1 || len(ps) != maxMisread {
		t.Errorf("got %d approvals and %d problems, error %v", len(as), len(ps), err)
	}
}

// An approval changes neither the plan's content nor is it in the way of a
// revert, which leaves it alone.
func TestApprovalsAreNoPartOfThePlan(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	raise := f.commit("shop to 10, approved at once", shopFile, shopPlan("gradual@10"), okFile, approval("0123456789abcdef0123456789abcdef01234567"))
	f.push()
	before, err := r.Version(t.Context(), shop, poll(t, r))
	if err != nil {
		t.Fatal(err)
	}
	f.as("ben@example.com", "ok", okFile, approval(raise))
	f.push()
	head := poll(t, r)
	after, err := r.Version(t.Context(), shop, head)
	if err != nil || after.Content != before.Content || after.Live != before.Live {
		t.Errorf("an approval changed the plan's content: %v", err)
	}
	if cs, err := r.Changes(t.Context(), shop, raise, head); err != nil || len(cs) != 0 {
		t.Errorf("an approval counts as a change: %+v, %v", cs, err)
	}
	if p := push(t, r, undo("gradual@10", "setup", raise)); p.Outcome != reconciler.PushedHead {
		t.Fatalf("got %+v", p)
	}
	if f.shown(shopFile) != shopPlan("setup") || f.shown(okFile) != approval(raise) {
		t.Error("the revert took the approval back too, or not the plan")
	}
}

func TestChangesNameTheirAuthor(t *testing.T) {
	f := newFixture(t)
	f.as("Dana@Example.com", "shop to 10", shopFile, shopPlan("gradual@10"))
	f.push()
	r := f.open()
	cs, err := r.Changes(t.Context(), shop, "", r.Head())
	if err != nil || len(cs) != 2 || cs[1].Author != "dana@example.com" {
		t.Errorf("got %+v, %v", cs, err)
	}
}

func TestAStopIsProposedOnABranchOfItsOwn(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	f.hook("post-receive", "echo push >> pushes")
	for range 3 {
		branch, err := r.Propose(t.Context(), shop, at("gradual@10"), "its gates pass")
		if err != nil || branch != "changeover/advance-shop-gradual@10" {
			t.Fatalf("got %q, %v", branch, err)
		}
	}
	const branch = "changeover/advance-shop-gradual@10"
	if n := pushes(f); n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
	if got := f.host("show", branch+":"+shopFile); got+"\n" != shopPlan("gradual@10") {
		t.Errorf("it declares\n%s", got)
	}
	if f.shown(shopFile) != shopPlan("setup") {
		t.Error("the watched branch changed")
	}
	// It was merged, rolled back, and the branch left where it was.
	f.git("fetch", "-q", "origin")
	f.git("merge", "-q", "--no-ff", "-m", "merge", "origin/"+branch)
	f.git("revert", "--no-edit", "-m", "1", "HEAD")
	f.push()
	if _, err := r.Propose(t.Context(), shop, at("gradual@10"), "its gates pass"); err != nil {
		t.Fatal(err)
	}
	if n := f.host("rev-list", "--count", "main.."+branch); n != "1" {
		t.Errorf("%s commits are proposed, want 1", n)
	}
	// A person goes on with it: it is left alone.
	f.git("fetch", "-q", "origin")
	f.git("checkout", "-q", "-B", "mine", "origin/"+branch)
	f.as("dana@example.com", "further", shopFile, shopPlan("gradual@25"))
	f.git("push", "-q", "origin", "HEAD:"+branch)
	_, err := r.Propose(t.Context(), shop, at("gradual@10"), "its gates pass")
	wantKind(t, err, reconciler.RemoteRefused)
	if _, err := os.Stat(filepath.Join(f.bare, "pushes")); err != nil {
		t.Fatal(err)
	}
	f.fsck(f.bare)
}

// What is no approval counts against the bound too: it is read all the same.
func TestFilesOfApprovalsAreBounded(t *testing.T) {
	f := newFixture(t)
	files := []string{}
	for i := range maxApprovals + 1 {
		files = append(files, fmt.Sprintf("plans/approvals/shop/%d.yaml", i), "no approval\n")
	}
	f.as("eve@example.com", "many", files...)
	f.push()
	r := f.open()
	if as, _, err := r.Approvals(t.Context(), shop, poll(t, r)); err == nil || !strings.Contains(err.Error(), "more than 500 files") {
		t.Errorf("got %d approvals, error %v", len(as), err)
	}
}

// A file that was removed and put back is of who put it back, also where its
// first author was looked up before.
func TestAnApprovalThatIsPutBackIsOfWhoPutItBack(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	f.as("ben@example.com", "ok", okFile, approval(raise))
	f.as("ada@example.com", "docs", "README.md", "more\n")
	f.push()
	r := f.open()
	if as := approvals(t, r); len(as) != 1 || as[0].Author != "ben@example.com" {
		t.Fatalf("got %+v", as)
	}
	f.git("rm", "-q", okFile)
	f.as("ben@example.com", "taken back")
	f.as("ada@example.com", "put back", okFile, approval(raise))
	f.as("ben@example.com", "docs", "README.md", "still more\n")
	f.push()
	if as := approvals(t, r); len(as) != 1 || as[0].Author != "ada@example.com" {
		t.Errorf("got %+v, want ada's", as)
	}
}
