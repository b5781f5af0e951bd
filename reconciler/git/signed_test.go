package git

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// signed is a host with persons who have keys, and a daemon that verifies. Its
// now is the daemon's clock, a day after the first commit.
type signed struct {
	*fixture
	keys    string // folder of the keys
	trusted string // file of the trusted ones
	now     time.Time
	gnupg   string // home of GnuPG; empty: the keys are of SSH
	signs   string // who signs in the person's clone now
}

// persons who have keys, and the daemon, which has one as they do.
var persons = []string{"ann", "ben", "cem", "daemon"}

// newSigned has its first commit signed by ann, with a key of SSH. Trusted are
// ann and the daemon.
func newSigned(t *testing.T) *signed {
	s := &signed{fixture: newFixture(t), keys: t.TempDir(), now: epoch.Add(24 * time.Hour)}
	s.trusted = filepath.Join(s.keys, "trusted")
	for _, who := range persons {
		s.newKey(who)
	}
	s.git("config", "gpg.format", "ssh")
	s.begin()
	return s
}

// newSignedPGP is the same with keys of OpenPGP, made on 1 January.
func newSignedPGP(t *testing.T) *signed {
	// A GnuPG home's socket has a path of at most 107 bytes.
	home, err := os.MkdirTemp("/tmp", "gpg") //nolint:usetesting // t.TempDir is too long for it
	if err != nil {
		t.Fatal(err)
	}
	s := &signed{fixture: newFixture(t), keys: t.TempDir(), now: epoch.Add(24 * time.Hour), gnupg: home}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	s.trusted = filepath.Join(s.keys, "trusted")
	for _, who := range persons {
		s.newKey(who)
	}
	// A signature is made at the time of its commit.
	program := filepath.Join(s.keys, "gpg")
	script := "#!/bin/sh\nat=$(echo \"$GIT_COMMITTER_DATE\" | tr -d ':Z-')\n" +
		"exec gpg --homedir " + home + " --faked-system-time \"$at!\" \"$@\"\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	s.git("config", "gpg.program", program)
	s.begin()
	return s
}

func (s *signed) begin() {
	s.trust("ann", "daemon")
	s.by("ann", "begin")
	s.push()
}

// newKey gives somebody a key; an older one of SSH is replaced.
func (s *signed) newKey(who string) {
	s.t.Helper()
	_ = os.Remove(s.key(who))
	if s.gnupg == "" {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", s.key(who)).CombinedOutput(); err != nil {
			s.t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
		return
	}
	s.gpg("20260101T000000", "", "--quick-gen-key", who+"@example.com", "ed25519", "sign", "never")
	secret := s.gpg("20260101T000000", "", "--armor", "--export-secret-keys", who+"@example.com")
	s.write0600(s.key(who), secret)
}

// gpg runs at a time, with answers to its questions where it is to ask some.
func (s *signed) gpg(at, answers string, args ...string) string {
	s.t.Helper()
	all := []string{"--homedir", s.gnupg, "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", at + "!"}
	if answers == "" {
		all = append(all, "--batch")
	} else {
		all = append(all, "--command-fd", "0")
	}
	cmd := exec.Command("gpg", append(all, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(answers), &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return out.String()
}

// fingerprint is that of somebody's primary key of OpenPGP.
func (s *signed) fingerprint(who string) string {
	s.t.Helper()
	for line := range strings.Lines(s.gpg("20260101T000000", "", "--with-colons", "--list-keys", who+"@example.com")) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			return f[9]
		}
	}
	s.t.Fatalf("no fingerprint of %s", who)
	return ""
}

// revocation is a certificate of it, made on the evening of the commits. The
// reason is as gpg asks: 1 it was compromised, 2 it was superseded.
func (s *signed) revocation(who, reason string) string {
	s.t.Helper()
	return s.gpg("20260301T220000", "y\n"+reason+"\n\ny\n", "--gen-revoke", s.fingerprint(who))
}

// revoke imports such a certificate.
func (s *signed) revoke(who, reason string) {
	s.t.Helper()
	file := filepath.Join(s.keys, "revocation")
	s.write0600(file, s.revocation(who, reason))
	s.gpg("20260301T220000", "", "--import", file)
}

func (s *signed) key(who string) string { return filepath.Join(s.keys, who) }

// trust writes the file of trusted keys, for SSH maybe with options as in
// `ann valid-before="..."`.
func (s *signed) trust(who ...string) {
	s.t.Helper()
	var text strings.Builder
	for _, w := range who {
		name, options, _ := strings.Cut(w, " ")
		if s.gnupg != "" {
			text.WriteString(s.gpg("20260302T000000", "", "--armor", "--export", name+"@example.com"))
			continue
		}
		pub, err := os.ReadFile(s.key(name) + ".pub")
		if err != nil {
			s.t.Fatal(err)
		}
		text.WriteString(name + "@example.com " + options + " " + string(pub))
	}
	s.write0600(s.trusted, text.String())
}

func (s *signed) write0600(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// by commits, signed with the person's key; unsigned for nobody.
func (s *signed) by(who, message string, files ...string) plan.Revision {
	s.t.Helper()
	if who != s.signs || who == "" {
		s.git("config", "commit.gpgsign", map[bool]string{true: "true", false: "false"}[who != ""])
		s.git("config", "user.signingkey", map[bool]string{true: s.key(who), false: who + "@example.com"}[s.gnupg == ""])
		s.signs = who
	}
	rev := s.commit(message, files...)
	s.push()
	return rev
}

func (s *signed) raise(who, position string) plan.Revision {
	s.t.Helper()
	return s.by(who, "shop to "+position, shopFile, shopPlan(position))
}

// forge replaces the head of the branch by what change makes of its object.
func (s *signed) forge(change func(string) string) plan.Revision {
	s.t.Helper()
	raw := s.git("cat-file", "commit", "HEAD")
	s.write("raw", change(raw)+"\n")
	bad := s.git("hash-object", "-t", "commit", "-w", "raw")
	s.git("clean", "-qf", "raw")
	s.git("reset", "-q", "--hard", bad)
	s.git("push", "-q", "--force", "origin", bad+":main")
	return plan.Revision(bad)
}

func (s *signed) signedOptions(v Verify) Options {
	o := s.options()
	o.Verify, o.TrustedKeys, o.Signing = v, []string{s.trusted}, signature.SigningKey{File: s.key("daemon")}
	o.Now = func() time.Time { return s.now }
	return o
}
