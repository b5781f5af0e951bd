package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// TestARevertIsSignedAndVerifies: what the daemon pushes is taken up by itself
// and accepted by git.
func TestARevertIsSignedAndVerifies(t *testing.T) {
	for _, mode := range bothModes {
		s := newSigned(t)
		r := openWith(t, s.signedOptions(mode))
		rev := s.raise("ann", "gradual@10")
		s.takes(r, rev)
		p := push(t, r, undo("gradual@10", "setup", rev))
		s.takes(r, s.hostHead())
		if p.Outcome != reconciler.PushedHead || p.Head != s.hostHead() || position(t, r, p.Head) != "setup" {
			t.Errorf("%s: %+v", mode, p)
		}
		s.host("-c", "gpg.ssh.allowedSignersFile="+s.trusted, "verify-commit", "main")
		s.fsck(s.bare)
	}
}

// TestARevertBlessesNothing: the daemon's own signature on top of an unsigned
// commit would make it a signed head. Whoever may push would only have to wait
// for a rollback, or make one.
func TestARevertBlessesNothing(t *testing.T) {
	for _, mode := range bothModes {
		t.Run(string(mode), func(t *testing.T) {
			s := newSigned(t)
			r := openWith(t, s.signedOptions(mode))
			first := s.raise("ann", "gradual@10")
			s.takes(r, first)
			bad := s.by("", "sneak", shopFile, shopPlan("gradual@10", "many-errors, expr: signal.errors > 0.03", "many-errors, expr: signal.errors > 9.03"))

			// The daemon builds nothing on it.
			_, err := pushOne(r, undo("gradual@10", "setup", first))
			var held *reconciler.UnverifiedError
			if !errors.As(err, &held) || held.Commit != bad || s.hostHead() != bad {
				t.Fatalf("the push: %v, and the branch is at %s", err, s.hostHead())
			}

			// And where one was built on it all the same, as by a daemon that
			// did not verify, it is looked through.
			s.by("daemon", "Revert \"shop to gradual@10\"\n\nChangeover-Plan: default/shop\nChangeover-Rollback-Of: "+string(first),
				shopFile, shopPlan("setup", "many-errors, expr: signal.errors > 0.03", "many-errors, expr: signal.errors > 9.03"))
			s.holds(r, first, bad, "it is not signed")
			s.by("daemon", "Revert again\n\nChangeover-Plan: default/shop\nChangeover-Rollback-Of: "+string(first), "plans/x.txt", "x")
			s.holds(r, first, bad, "it is not signed")
		})
	}
}

// TestARevertWaitsAndGoesWithTheNextVerifiedHead: the way out, for head.
func TestARevertWaitsAndGoesWithTheNextVerifiedHead(t *testing.T) {
	s := newSigned(t)
	r := openWith(t, s.signedOptions(VerifyHead))
	first := s.raise("ann", "gradual@10")
	s.takes(r, first)
	s.by("", "docs", "README.md", "x\n")
	u := undo("gradual@10", "setup", first)
	if _, err := pushOne(r, u); err == nil {
		t.Fatal("a revert was pushed onto an unverified head")
	}
	s.by("ann", "vouch for it")
	if p := push(t, r, u); p.Outcome != reconciler.PushedHead || position(t, r, s.hostHead()) != "setup" {
		t.Fatalf("got %+v", p)
	}
	s.takes(r, s.hostHead())
}

// TestAForgedRevertIsNoRevert: a commit that says that it is the daemon's must
// be signed as any other.
func TestAForgedRevertIsNoRevert(t *testing.T) {
	for _, mode := range bothModes {
		s := newSigned(t)
		r := openWith(t, s.signedOptions(mode))
		first := s.raise("ann", "gradual@10")
		s.takes(r, first)
		for _, who := range []string{"", "ben"} {
			bad := s.by(who, "Revert\n\nChangeover-Plan: default/shop\nChangeover-Rollback-Of: "+string(first), shopFile, shopPlan("done"))
			got, err := r.Poll(t.Context())
			var held *reconciler.UnverifiedError
			if !errors.As(err, &held) || got != first {
				t.Errorf("%s: %s was taken up by %s: %v", mode, bad, got, err)
			}
		}
	}
}

// TestTheVerifiedHeadOutlivesItsStore: a store that is fetched anew, and a
// force-push, change nothing of what was verified.
func TestTheVerifiedHeadOutlivesItsStore(t *testing.T) {
	s := newSigned(t)
	o := s.signedOptions(VerifyPromotions)
	r := openWith(t, o)
	good := s.raise("ann", "gradual@10")
	s.takes(r, good)
	bad := s.raise("", "gradual@25")
	s.holds(r, good, bad, "it is not signed")
	r.store.damaged.Store(true)
	s.holds(r, good, bad, "it is not signed")
	if got := r.store.ref(verifiedRef); got.String() != string(good) {
		t.Errorf("the new store holds %s as verified", got)
	}
	s.git("reset", "-q", "--hard", string(good)+"^")
	other := s.commit("elsewhere", shopFile, shopPlan("done"))
	s.git("push", "-q", "--force", "origin", "HEAD:main")
	s.holds(r, good, other, "it is not signed")
	if got := position(t, r, r.Head()); got != "gradual@10" {
		t.Errorf("the plan is at %s", got)
	}
}

// TestNothingIsTakenBeforeOneHeadIsSigned: without a verified revision there is
// nothing to go on from.
func TestNothingIsTakenBeforeOneHeadIsSigned(t *testing.T) {
	for _, mode := range bothModes {
		s := newSigned(t)
		bad := s.by("", "docs", "README.md", "x\n")
		r := openWith(t, s.signedOptions(mode))
		s.holds(r, "", bad, "nothing was verified before it")
		s.takes(r, s.by("ann", "begin here"))
	}
}

func TestOwnCommitsMustVerifyAtStart(t *testing.T) {
	s := newSigned(t)
	check := func(what, want string, change func(*Options)) {
		t.Helper()
		o := s.signedOptions(VerifyHead)
		change(&o)
		if err := o.CheckSigning(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	check("all is well", "", func(*Options) {})
	check("no key", "there is no key that signs", func(o *Options) { o.Signing = signature.SigningKey{} })
	check("another's key", "not among the trusted keys", func(o *Options) { o.Signing.File = s.key("ben") })
	check("no such key", "sign a commit", func(o *Options) { o.Signing.File = s.key("none") })
	check("no such key, and none needed", "sign a commit", func(o *Options) { o.Verify, o.Signing.File = VerifyOff, s.key("none") })
	check("neither", "", func(o *Options) { o.Verify, o.Signing.File = VerifyOff, "" })
	check("an unknown mode", "is not known", func(o *Options) { o.Verify = "all" })
	check("no trusted keys", "needs files with trusted keys", func(o *Options) { o.TrustedKeys = nil })
	s.trust("ann", `daemon valid-before="20260301"`)
	check("expired", "does not hold at this time", func(*Options) {})
}

// TestEveryCommitOfOursIsSigned: a person's by the command line, a proposal, a
// published folder.
func TestEveryCommitOfOursIsSigned(t *testing.T) {
	s := newSigned(t)
	o := s.signedOptions(VerifyOff)
	o.TrustedKeys = nil
	r := openWith(t, o)
	ctx := t.Context()
	to := at("gradual@10")
	if _, err := r.Commit(ctx, Edit{Key: shop, SetPosition: &to, Message: "raise"}); err != nil {
		t.Fatal(err)
	}
	branch, err := r.Propose(ctx, shop, at("gradual@25"), "it baked")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Publish(ctx, "rendered", "out", map[string][]byte{"a": []byte("a")}, "publish"); err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{"main", branch, "rendered"} {
		s.host("-c", "gpg.ssh.allowedSignersFile="+s.trusted, "verify-commit", b)
	}

	// A key that cannot be used keeps commits from being made; none goes unsigned.
	before := s.hostHead()
	if err := os.WriteFile(filepath.Join(s.keys, "daemon"), []byte("CANARY"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = pushOne(r, undo("gradual@10", "setup", before))
	if err == nil || strings.Contains(err.Error(), "CANARY") || s.hostHead() != before {
		t.Errorf("got %v, and the branch is at %s", err, s.hostHead())
	}
}
