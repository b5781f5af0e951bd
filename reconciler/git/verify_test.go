package git

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// holds checks that the head is not taken up, at which revision it is held, and
// which commit is named.
func (s *signed) holds(r *Repository, at, blamed plan.Revision, why string) {
	s.t.Helper()
	got, err := r.Poll(s.t.Context())
	var held *reconciler.UnverifiedError
	if !errors.As(err, &held) {
		s.t.Fatalf("got %s and error %v, want it held at %s", got, err, at)
	}
	if got != at || held.Held != at || held.Commit != blamed || held.Head != s.hostHead() || !strings.Contains(err.Error(), why) || r.Head() != at {
		s.t.Fatalf("got %s (%+v), want it held at %s by %s, with %q", got, held, at, blamed, why)
	}
}

func (s *signed) takes(r *Repository, want plan.Revision) {
	s.t.Helper()
	if got := poll(s.t, r); got != want || r.Head() != want {
		s.t.Fatalf("got %s, want %s", got, want)
	}
}

var bothModes = []Verify{VerifyHead, VerifyPromotions}

// TestSignedOnTop: under head a signature vouches for all beneath it; under
// promotions each commit answers for itself.
func TestSignedOnTop(t *testing.T) {
	s := newSigned(t)
	head, each := openWith(t, s.signedOptions(VerifyHead)), openWith(t, s.signedOptions(VerifyPromotions))
	good := s.hostHead()
	s.takes(head, good)
	s.takes(each, good)
	docs := s.by("", "docs", "README.md", "more\n")
	s.holds(head, good, docs, "it is not signed")
	s.takes(each, docs)
	bad := s.raise("", "gradual@10")
	s.holds(each, docs, bad, "it changes plans/shop.yaml")
	top := s.by("ann", "on top", "README.md", "still more\n")
	s.takes(head, top)
	s.holds(each, docs, bad, "it changes plans/shop.yaml")
	// Taken back, with or without a signature: nothing is left of it.
	back := s.by("", "back", shopFile, shopPlan("setup"))
	s.takes(each, back)
	s.holds(head, top, back, "it is not signed")
}

// TestUnsignedWordsAreNotHeard: a trailer ends halts and holds, and an approval
// lets a plan go forward; neither changes the plan's file.
func TestUnsignedWordsAreNotHeard(t *testing.T) {
	for name, c := range map[string]struct{ message, file, why string }{
		"resume":   {"go on\n\nChangeover-Resume: default/shop", "", "it carries the trailer Changeover-Resume"},
		"unhold":   {"go on\n\nChangeover-Plan: default/shop\nChangeover-Unhold: 0123456789", "", "Changeover-Unhold"},
		"rollback": {"go on\n\nChangeover-Plan: default/shop\nChangeover-Rollback-Of: 0123456789", "", "Changeover-Rollback-Of"},
		"approval": {"approve", "plans/approvals/shop/a.yaml", "it changes plans/approvals"},
		"nonsense": {"break it", shopFile, "it changes plans/shop.yaml"},
		"new plan": {"another", "plans/more/x.yaml", "it changes plans/more/x.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSigned(t)
			r := openWith(t, s.signedOptions(VerifyPromotions))
			good := s.hostHead()
			s.takes(r, good)
			var files []string
			if c.file != "" {
				files = []string{c.file, "apiVersion: changeover.dev/v1alpha1\nkind: MigrationPlan\nmetadata: {name: x}\n"}
			}
			bad := s.by("", c.message, files...)
			s.holds(r, good, bad, c.why)
		})
	}
}

// TestReadsAreThePlansToo: what a plan reads beside its file must be signed as
// the file itself.
func TestReadsAreThePlansToo(t *testing.T) {
	s := newSigned(t)
	s.by("ann", "config", "deploy/a.yaml", "a: 1\n", shopFile, shopPlan("setup"))
	o := s.signedOptions(VerifyPromotions)
	o.Reads = func(files fs.FS, _ *plan.Document) ([]string, []plan.Problem) {
		_, _ = fs.ReadFile(files, "deploy/a.yaml")
		return []string{"deploy/a.yaml"}, nil
	}
	r := openWith(t, o)
	good := s.hostHead()
	s.takes(r, good)
	bad := s.by("", "sneak", "deploy/a.yaml", "a: 2\n")
	s.holds(r, good, bad, "it changes plans/shop.yaml")
}
