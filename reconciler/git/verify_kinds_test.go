package git

import (
	"os"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

// kinds of keys, each with a host of its own.
var kinds = map[string]func(*testing.T) *signed{"SSH": newSigned, "OpenPGP": newSignedPGP}

// spoiled is a commit that must not be taken up, and why. Trusted are who, cem
// and the daemon; cem is left in order.
type spoiled struct {
	kind string // the only kind of keys for which there is such a thing
	make func(s *signed, who string) plan.Revision
	why  string
}

var spoils = map[string]spoiled{
	"unsigned": {make: func(s *signed, who string) plan.Revision { return s.raise("", "gradual@10") }, why: "it is not signed"},
	"unknown":  {make: func(s *signed, who string) plan.Revision { return s.raise("ben", "gradual@10") }, why: "not among the trusted keys"},
	"removed": {make: func(s *signed, who string) plan.Revision {
		s.trust("cem", "daemon")
		return s.raise(who, "gradual@10")
	}, why: "not among the trusted keys"},
	"tampered": {make: func(s *signed, who string) plan.Revision {
		s.raise(who, "gradual@10")
		return s.forge(func(raw string) string { return strings.Replace(raw, "shop to", "Shop to", 1) })
	}, why: "did not sign this commit"},
	"signature of another commit": {make: func(s *signed, who string) plan.Revision {
		_, _, of := cutSignature(s.git("cat-file", "commit", "HEAD"))
		s.raise(who, "gradual@10")
		return s.forge(func(raw string) string {
			head, body, _ := cutSignature(raw)
			return head + of + body
		})
	}, why: "did not sign this commit"},
	"its own proposal": {make: func(s *signed, who string) plan.Revision { return s.raise("daemon", "gradual@10") }, why: "a proposal that Changeover itself signed"},

	"expired before the commit": {kind: "SSH", make: func(s *signed, who string) plan.Revision {
		s.trust(who+` valid-before="20260301Z"`, "cem", "daemon")
		return s.raise(who, "gradual@10")
	}, why: "does not hold at this time: it was valid before 2026-03-01T00:00:00Z"},
	"expired since the commit": {kind: "SSH", make: func(s *signed, who string) plan.Revision {
		s.trust(who+` valid-before="20260302Z"`, "cem", "daemon")
		return s.raise(who, "gradual@10")
	}, why: "does not hold at this time: it was valid before 2026-03-02T00:00:00Z"},
	"valid after the commit": {kind: "SSH", make: func(s *signed, who string) plan.Revision {
		s.trust(who+` valid-after="20260302Z"`, "cem", "daemon")
		return s.raise(who, "gradual@10")
	}, why: "does not hold at this time: it is valid after 2026-03-02T00:00:00Z"},
	"for another namespace": {kind: "SSH", make: func(s *signed, who string) plan.Revision {
		s.trust(who+` namespaces="file"`, "cem", "daemon")
		return s.raise(who, "gradual@10")
	}, why: "not among the trusted keys"},

	// gpg signs with no key that has expired, so it is shortened afterwards.
	"key expired before the commit": {kind: "OpenPGP", make: func(s *signed, who string) plan.Revision {
		bad := s.raise(who, "gradual@10")
		s.gpg("20260115T000000", "", "--quick-set-expire", s.fingerprint(who), "2026-02-01")
		s.trust(who, "cem", "daemon")
		return bad
	}, why: "does not hold at this time: the key has expired"},
	"key expired since the commit": {kind: "OpenPGP", make: func(s *signed, who string) plan.Revision {
		s.gpg("20260115T000000", "", "--quick-set-expire", s.fingerprint(who), "20260302T000000")
		s.trust(who, "cem", "daemon")
		return s.raise(who, "gradual@10")
	}, why: "does not hold at this time: the key has expired"},
	"key revoked as compromised": {kind: "OpenPGP", make: revokedAs("1"), why: "which was revoked"},
	"key revoked as superseded":  {kind: "OpenPGP", make: revokedAs("2"), why: "which was revoked"},
	"revocation certificate put into the file": {kind: "OpenPGP", make: func(s *signed, who string) plan.Revision {
		bad := s.raise(who, "gradual@10")
		keys, err := os.ReadFile(s.trusted)
		if err != nil {
			s.t.Fatal(err)
		}
		s.write0600(s.trusted, string(keys)+s.revocation(who, "1"))
		return bad
	}, why: "which was revoked"},
	"subkey revoked": {kind: "OpenPGP", make: func(s *signed, who string) plan.Revision {
		s.gpg("20260102T000000", "", "--quick-add-key", s.fingerprint(who), "ed25519", "sign", "never")
		bad := s.raise(who, "gradual@10")
		s.gpg("20260301T220000", "key 1\nrevkey\ny\n2\n\ny\nsave\n", "--edit-key", s.fingerprint(who))
		s.trust(who, "cem", "daemon")
		return bad
	}, why: "which was revoked"},
	"subkey expired": {kind: "OpenPGP", make: func(s *signed, who string) plan.Revision {
		s.gpg("20260102T000000", "", "--quick-add-key", s.fingerprint(who), "ed25519", "sign", "20260302T000000")
		s.trust(who, "cem", "daemon")
		return s.raise(who, "gradual@10")
	}, why: "does not hold at this time: the key has expired"},
}

// revokedAs has the key revoked after the commit, and the certificate imported.
func revokedAs(reason string) func(*signed, string) plan.Revision {
	return func(s *signed, who string) plan.Revision {
		bad := s.raise(who, "gradual@10")
		s.revoke(who, reason)
		s.trust(who, "cem", "daemon")
		return bad
	}
}

// cutSignature takes a commit's text apart: what is before its signature, what
// is after, and the signature's header.
func cutSignature(raw string) (before, after, sig string) {
	i, j := strings.Index(raw, "gpgsig "), strings.Index(raw, "\n\n")
	return raw[:i], raw[j:], strings.TrimSuffix(raw[i:j], "\n")
}

// TestOnlySignedPromotionsAreTakenUp: whatever is wrong with a commit's
// signature holds at the last verified revision, also after a restart, with the
// reason in words. What was verified before stays. Under head a good signature
// on top is the way out, under promotions what takes the change back.
func TestOnlySignedPromotionsAreTakenUp(t *testing.T) {
	for kind, begin := range kinds {
		s := begin(t)
		for name, c := range spoils {
			if c.kind == "" || c.kind == kind {
				t.Run(kind+"/"+name, func(t *testing.T) { s.t = t; s.holdsAndIsCured(name, c) })
			}
		}
	}
}

func (s *signed) holdsAndIsCured(name string, c spoiled) {
	who := strings.ReplaceAll(name, " ", "-")
	s.newKey(who)
	s.trust(who, "cem", "daemon")
	good := s.by(who, "begin "+name, shopFile, shopPlan("setup"))
	var opts []Options
	var opened []*Repository
	for _, mode := range bothModes {
		o := s.signedOptions(mode)
		r := openWith(s.t, o)
		s.takes(r, good)
		opts, opened = append(opts, o), append(opened, r)
	}
	bad := c.make(s, who)
	for i, r := range opened {
		s.holds(r, good, bad, c.why)
		if err := r.Close(); err != nil {
			s.t.Fatal(err)
		}
		opened[i] = openWith(s.t, opts[i]) // a restart
		s.holds(opened[i], good, bad, c.why)
		if got := position(s.t, opened[i], opened[i].Head()); got != "setup" {
			s.t.Errorf("the plan is at %s", got)
		}
	}
	head, each := opened[0], opened[1]
	top := s.by("cem", "on top", "README.md", "vouched for, of "+name)
	s.takes(head, top)
	s.holds(each, good, bad, c.why)
	back := s.raise("cem", "setup")
	s.takes(head, back)
	s.takes(each, back)
}

// TestARevocationTakesNothingBack: a key that is revoked, or taken out, counts
// for no commit from then on, also not for one that was made before. What was
// taken up stays.
func TestARevocationTakesNothingBack(t *testing.T) {
	s := newSignedPGP(t)
	s.trust("ann", "cem", "daemon")
	for _, mode := range bothModes {
		r := openWith(t, s.signedOptions(mode))
		taken := s.raise("ann", "gradual@10")
		s.takes(r, taken)
		s.raise("ann", "gradual@25")
		before := s.raise("ann", "gradual@50") // two that the daemon has not seen
		s.revoke("ann", "2")
		s.trust("ann", "cem", "daemon")
		blamed := before
		if mode == VerifyPromotions {
			blamed = plan.Revision(s.git("rev-parse", "HEAD^"))
		}
		s.holds(r, taken, blamed, "which was revoked")
		if got := position(t, r, r.Head()); got != "gradual@10" {
			t.Errorf("%s: the plan is at %s", mode, got)
		}
		// For the other mode, with another key.
		s.gpg("20260302T000000", "", "--yes", "--delete-secret-and-public-key", s.fingerprint("ann"))
		s.newKey("ann")
		s.trust("ann", "cem", "daemon")
		s.raise("ann", "setup")
	}
}

// TestAnUnsignedTrailerNeedsItsKeyOrAnotherHistory: what it says cannot be taken
// back by a commit on top.
func TestAnUnsignedTrailerNeedsItsKeyOrAnotherHistory(t *testing.T) {
	s := newSigned(t)
	s.trust("ann", "daemon")
	r := openWith(t, s.signedOptions(VerifyPromotions))
	good := s.hostHead()
	s.takes(r, good)
	say := func() plan.Revision { return s.by("ben", "go on\n\nChangeover-Resume: default/shop") }
	bad := say()
	s.holds(r, good, bad, "it carries the trailer Changeover-Resume")
	s.by("ann", "on top", "README.md", "more\n")
	s.holds(r, good, bad, "it carries the trailer Changeover-Resume")

	s.git("reset", "-q", "--hard", string(good))
	s.git("push", "-q", "--force", "origin", "HEAD:main")
	s.takes(r, good)
	rev := s.raise("ann", "gradual@10")
	s.takes(r, rev)

	said := say()
	s.holds(r, rev, said, "it carries the trailer Changeover-Resume")
	s.trust("ann", "ben", "daemon")
	s.takes(r, said)
}
