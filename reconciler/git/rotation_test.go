package git

import (
	"os"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
)

// TestKeyRotationNeedsNoRestart: a key that is added to the file is trusted at
// the next reading, and one that is taken out is not.
func TestKeyRotationNeedsNoRestart(t *testing.T) {
	for kind, begin := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := begin(t)
			for _, mode := range bothModes {
				s.trust("ann", "daemon")
				good := s.raise("ann", "setup")
				r := openWith(t, s.signedOptions(mode))
				s.takes(r, good)
				rev := s.raise("ben", "gradual@10")
				s.holds(r, good, rev, "not among the trusted keys")
				s.trust("ann", "ben", "daemon")
				s.takes(r, rev)
				s.trust("ben", "daemon")
				s.takes(r, rev) // what was verified stays
				next := s.raise("ann", "gradual@25")
				s.holds(r, rev, next, "not among the trusted keys")
			}
		})
	}
}

// TestOwnKeyRotationNeedsNoRestart: the file with the daemon's own key is read
// for every commit, and a proposal that the old one signed vouches for nothing,
// also while it is trusted.
func TestOwnKeyRotationNeedsNoRestart(t *testing.T) {
	for kind, begin := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := begin(t)
			s.newKey("second")
			for _, mode := range bothModes {
				s.install("daemon")
				s.trust("ann", "daemon")
				o := s.signedOptions(mode)
				o.Signing.File = s.key("own")
				r := openWith(t, o)
				first := s.raise("ann", "gradual@10")
				s.takes(r, first)

				s.trust("ann", "daemon", "second")
				s.install("second")
				if p := push(t, r, undo("gradual@10", "setup", first)); p.Outcome != reconciler.PushedHead {
					t.Fatalf("got %+v", p)
				}
				reverted := s.hostHead()
				s.takes(r, reverted)
				s.git("fetch", "-q", "origin")
				s.git("reset", "-q", "--hard", "origin/main")
				old := s.raise("daemon", "gradual@10")
				s.holds(r, reverted, old, "a proposal that Changeover itself signed")

				s.git("reset", "-q", "--hard", string(reverted))
				s.git("push", "-q", "--force", "origin", "HEAD:main")
				s.trust("ann", "second")
				o = s.signedOptions(mode)
				o.Signing.File = s.key("own")
				s.takes(openWith(t, o), reverted) // it is signed by the second
			}
		})
	}
}

// install puts somebody's key where the daemon's own is, as a mounted secret is
// replaced.
func (s *signed) install(who string) {
	s.t.Helper()
	data, err := os.ReadFile(s.key(who))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write0600(s.key("own.new"), string(data))
	if err := os.Rename(s.key("own.new"), s.key("own")); err != nil {
		s.t.Fatal(err)
	}
}

// TestAKeyExpiresWhileItsCommitWaits: that it was found good before it was taken
// up is not remembered for longer than a minute.
func TestAKeyExpiresWhileItsCommitWaits(t *testing.T) {
	s := newSigned(t)
	s.trust(`ann valid-before="20260302123000Z"`, "daemon")
	good := s.hostHead()
	r := openWith(t, s.signedOptions(VerifyPromotions))
	s.takes(r, good)
	first := s.raise("ann", "gradual@10")
	s.holds(r, good, s.raise("ben", "gradual@25"), "not among the trusted keys")
	s.now = s.now.Add(time.Hour)
	s.holds(r, good, first, "does not hold at this time")
}
