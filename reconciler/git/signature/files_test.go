package signature

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func TestKeysAreReadAnew(t *testing.T) {
	p := newPlace(t)
	first, second := p.sshKey("first", "ed25519", ""), p.sshKey("second", "ed25519", "")
	f := NewFiles(p.write("allowed", "a@example.com "+first))
	before, err := f.Keys()
	if err != nil {
		t.Fatal(err)
	}
	raw := p.commit(withSSH(p, "second")...)
	if got := verify(before, raw).State; got != Unknown {
		t.Fatalf("before: %s", got)
	}
	if same, err := f.Keys(); err != nil || same != before {
		t.Errorf("the unchanged file was parsed again: %v", err)
	}
	p.write("allowed", "a@example.com "+second)
	after, err := f.Keys()
	if err != nil || verify(after, raw).State != Good || after.Digest() == before.Digest() {
		t.Errorf("after: %v, %+v", err, verify(after, raw))
	}
	p.write("allowed", "nonsense")
	if _, err := f.Keys(); err == nil {
		t.Error("a file that cannot be read is no error")
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	p := newPlace(t)
	key := p.sshKey("ed", "ed25519", "")
	for text, want := range map[string]string{
		"":                                       "holds no key",
		"#":                                      "holds no key",
		"a " + key + "\nb cert-authority " + key: "allowed:2: option cert-authority is not supported",
		"a verify-required " + key:               `option "verify-required" is not known`,
		key:                                      "write first whose it is",
		"a":                                      "it is no key",
		`"a ` + key:                              "a quote is not closed",
		`a valid-after="yesterday" ` + key:       "want YYYYMMDD",
		`a namespaces="!git,*" ` + key:           "is not supported",
		p.read("ed"):                             "private key",
		beginPGP + "\n\nAAAA\n=AAAA\n":           "cannot be read",
		strings.Repeat("# a long comment\n", 80_000): "larger than 1024 KiB",
	} {
		_, err := NewFiles(p.write("allowed", text)).Keys()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	if _, err := NewFiles(p.path("none")).Keys(); err == nil {
		t.Error("a file that is not there is no error")
	}
}

// TestValidity: a key must hold at the commit's own time and now.
func TestValidity(t *testing.T) {
	p := newPlace(t)
	key := p.sshKey("ed", "ed25519", "")
	k := keysOf(t, p.write("allowed", `a valid-after="20260101Z",valid-before="202602011200Z" `+key))
	raw := p.commit(withSSH(p, "ed")...)
	day := func(s string) time.Time {
		d, err := time.Parse("2006-01-02T15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	in, out, early := day("2026-01-15T00:00"), day("2026-02-01T12:00"), day("2025-12-31T23:59")
	for _, c := range []struct {
		at, now time.Time
		want    State
	}{{in, in, Good}, {in, out, Expired}, {out, in, Expired}, {early, in, Expired}, {out.Add(-time.Second), out.Add(-time.Second), Good}} {
		if got := k.Verify(raw, c.at, c.now); got.State != c.want {
			t.Errorf("at %s, now %s: %+v, want %s", c.at, c.now, got, c.want)
		}
	}
}

// TestSecretsStayInTheirFiles: whatever is wrong with a key, no error holds
// what is in it or in the passphrase's file.
func TestSecretsStayInTheirFiles(t *testing.T) {
	const canary = "CANARYb64CANARYb64CANARYb64CANARY"
	p := newPlace(t)
	p.sshKey("locked", "ed25519", "the real one")
	pass := p.write("passphrase", canary)
	for name, text := range map[string]string{
		"plain":  canary,
		"pem":    "-----BEGIN OPENSSH PRIVATE KEY-----\n" + canary + "\n-----END OPENSSH PRIVATE KEY-----\n",
		"rsa":    "-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----\n",
		"pgp":    beginPGPPrivate + "\n\n" + canary + "\n-----END PGP PRIVATE KEY BLOCK-----\n",
		"locked": p.read("locked"),
	} {
		for _, s := range []SigningKey{{File: p.write("key", text)}, {File: p.path("key"), PassphraseFile: pass}} {
			_, err := s.Sign([]byte("tree x\n\nmessage\n"), time.Now())
			if err == nil || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := NewFiles(p.path("key")).Keys(); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s as trusted keys: %v", name, err)
		}
	}
	if err := os.Remove(pass); err != nil {
		t.Fatal(err)
	}
	if _, err := (SigningKey{File: p.path("locked"), PassphraseFile: pass}).Sign(nil, time.Now()); err == nil {
		t.Error("a passphrase's file that is gone is no error")
	}
}

func FuzzAllowedSigners(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFz4yZcWlyLIfBTXD8Hs3EOyQm6/pjhC8yZVVgtCnZBn"
	for _, s := range []string{
		"a@example.com " + key, `"a b" namespaces="git",valid-after="20200101Z" ` + key + " comment", "# none\n\n", key,
		`a valid-before="202001011200" ` + key + "\r\nb cert-authority " + key, `a namespaces="g*,?" ` + key,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := parseAllowed("f", data)
		if err != nil && (len(lines) > 0 || !strings.HasPrefix(err.Error(), "f:")) {
			t.Fatalf("%d lines and error %v", len(lines), err)
		}
		for _, a := range lines {
			if a.key == nil || a.principals == "" && !bytes.ContainsAny(data, " \t\x00") {
				t.Fatalf("a line without a key or a holder: %+v", a)
			}
		}
	})
}
