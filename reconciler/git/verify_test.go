package git

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// signed is a host with persons who have keys, and a daemon that verifies.
type signed struct {
	*fixture
	keys    string // folder of the keys
	trusted string // file of the trusted ones
	now     time.Time
}

// newSigned has its first commit signed by ann. Trusted are ann and the daemon.
func newSigned(t *testing.T) *signed {
	s := &signed{fixture: newFixture(t), keys: t.TempDir(), now: epoch.Add(24 * time.Hour)}
	s.trusted = filepath.Join(s.keys, "trusted")
	for _, who := range []string{"ann", "ben", "daemon"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", s.key(who)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	s.git("config", "gpg.format", "ssh")
	s.trust("ann", "daemon")
	s.by("ann", "begin")
	s.push()
	return s
}

func (s *signed) key(who string) string { return filepath.Join(s.keys, who) }

// trust writes the file of trusted keys, maybe with options as in
// `ann valid-before="..."`.
func (s *signed) trust(who ...string) {
	s.t.Helper()
	var text strings.Builder
	for _, w := range who {
		name, options, _ := strings.Cut(w, " ")
		pub, err := os.ReadFile(s.key(name) + ".pub")
		if err != nil {
			s.t.Fatal(err)
		}
		text.WriteString(name + "@example.com " + options + " " + string(pub))
	}
	if err := os.WriteFile(s.trusted, []byte(text.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// by commits, signed with the person's key; unsigned for nobody.
func (s *signed) by(who, message string, files ...string) plan.Revision {
	s.t.Helper()
	s.git("config", "commit.gpgsign", map[bool]string{true: "true", false: "false"}[who != ""])
	if who != "" {
		s.git("config", "user.signingkey", s.key(who))
	}
	rev := s.commit(message, files...)
	s.push()
	return rev
}

func (s *signed) raise(who, position string) plan.Revision {
	s.t.Helper()
	return s.by(who, "shop to "+position, shopFile, shopPlan(position))
}

func (s *signed) signedOptions(v Verify) Options {
	o := s.options()
	o.Verify, o.TrustedKeys, o.Signing = v, []string{s.trusted}, signature.SigningKey{File: s.key("daemon")}
	o.Now = func() time.Time { return s.now }
	return o
}

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

// TestOnlySignedPromotionsAreTakenUp: unsigned, wrongly signed, unknown, expired
// and tampered commits hold at the last verified revision, also after a restart.
func TestOnlySignedPromotionsAreTakenUp(t *testing.T) {
	for _, mode := range bothModes {
		for name, c := range map[string]struct {
			spoil func(s *signed) plan.Revision
			why   string
		}{
			"unsigned": {func(s *signed) plan.Revision { return s.raise("", "gradual@10") }, "it is not signed"},
			"unknown":  {func(s *signed) plan.Revision { return s.raise("ben", "gradual@10") }, "not among the trusted keys"},
			"removed": {func(s *signed) plan.Revision {
				s.trust("daemon")
				return s.raise("ann", "gradual@10")
			}, "not among the trusted keys"},
			"expired": {func(s *signed) plan.Revision {
				s.trust(`ann valid-before="20260301"`, "daemon")
				return s.raise("ann", "gradual@10")
			}, "does not hold at this time"},
			"tampered": {func(s *signed) plan.Revision {
				rev := s.raise("ann", "gradual@10")
				raw := s.git("cat-file", "commit", string(rev))
				s.write("raw", strings.Replace(raw, "shop to", "Shop to", 1)+"\n")
				bad := s.git("hash-object", "-t", "commit", "-w", "raw")
				s.git("push", "-q", "--force", "origin", bad+":main")
				return plan.Revision(bad)
			}, "did not sign this commit"},
			"its own proposal": {func(s *signed) plan.Revision { return s.raise("daemon", "gradual@10") }, "a proposal that Changeover itself signed"},
			"no keys": {func(s *signed) plan.Revision {
				if err := os.WriteFile(s.trusted, nil, 0o600); err != nil {
					s.t.Fatal(err)
				}
				return s.raise("ann", "gradual@10")
			}, "holds no key"},
		} {
			t.Run(string(mode)+"/"+name, func(t *testing.T) {
				s := newSigned(t)
				o := s.signedOptions(mode)
				r := openWith(t, o)
				good := s.hostHead()
				s.takes(r, good)
				bad := c.spoil(s)
				s.holds(r, good, bad, c.why)
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				r = openWith(t, o) // a restart
				s.holds(r, good, bad, c.why)
				if got := position(t, r, r.Head()); got != "setup" {
					t.Errorf("the plan is at %s", got)
				}
			})
		}
	}
}

// TestKeyRotationNeedsNoRestart: a key that is added to the file is trusted at
// the next reading, and one that is taken out is not.
func TestKeyRotationNeedsNoRestart(t *testing.T) {
	for _, mode := range bothModes {
		t.Run(string(mode), func(t *testing.T) {
			s := newSigned(t)
			r := openWith(t, s.signedOptions(mode))
			good := s.hostHead()
			s.takes(r, good)
			rev := s.raise("ben", "gradual@10")
			s.holds(r, good, rev, "not among the trusted keys")
			s.trust("ann", "ben", "daemon")
			s.takes(r, rev)
			s.trust("ben", "daemon")
			s.takes(r, rev) // what was verified stays
			next := s.raise("ann", "gradual@25")
			s.holds(r, rev, next, "not among the trusted keys")
		})
	}
}

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
