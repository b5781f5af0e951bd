package signature

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func (p *place) want(k *Keys, what string, raw []byte, want State) {
	p.t.Helper()
	got := verify(k, raw)
	if got.State != want {
		p.t.Errorf("%s: %s (%s), want %s", what, got.State, got, want)
	}
	if git := p.gitVerifies(p.put(raw)); git != (want == Good) {
		p.t.Errorf("%s: git verify-commit says %v, and the state is %s", what, git, want)
	}
}

// TestSSHAgreesWithGit signs with git and judges as git verify-commit does.
func TestSSHAgreesWithGit(t *testing.T) {
	p := newPlace(t)
	ed, rsa, ec := p.sshKey("ed", "ed25519", ""), p.sshKey("rsa", "rsa", ""), p.sshKey("ec", "ecdsa", "")
	old, files := p.sshKey("old", "ed25519", ""), p.sshKey("files", "ed25519", "")
	p.sshKey("stranger", "ed25519", "")
	k := keysOf(t, p.write("allowed", strings.Join([]string{
		"# who may", "ada@example.com " + ed, `ben@example.com,"b@x" ` + rsa, `"cem@example.com" namespaces="file,g?t",valid-after="20200101Z" ` + ec,
		`old@example.com valid-before="20240101" ` + old, `f@example.com namespaces="file" ` + files, "",
	}, "\n")))
	for key, want := range map[string]State{"ed": Good, "rsa": Good, "ec": Good, "old": Expired, "files": Unknown, "stranger": Unknown} {
		raw := p.commit(withSSH(p, key)...)
		p.want(k, key, raw, want)
		p.want(k, key+", changed", bytes.Replace(raw, []byte("raise"), []byte("Raise"), 1), Bad)
	}
	if got := verify(k, p.commit(withSSH(p, "ed")...)); got.Who != "ada@example.com" || !strings.HasPrefix(got.Key, "SHA256:") {
		t.Errorf("who: %+v", got)
	}
	p.want(k, "unsigned", p.commit(), Missing)

	// A signature of other data, made for another use.
	payload, _, err := Split(p.commit(withSSH(p, "ed")...))
	if err != nil {
		t.Fatal(err)
	}
	p.write("payload", string(payload))
	p.run("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", p.path("ed"), p.path("payload"))
	p.want(k, "namespace file", Join(payload, []byte(p.read("payload.sig"))), Bad)
	p.run("rm", p.path("payload.sig"))
	p.run("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", p.path("ed"), p.path("payload"))
	p.want(k, "namespace git", Join(payload, []byte(p.read("payload.sig"))), Good)
}

// TestPGPAgreesWithGit: the same for gpg.
func TestPGPAgreesWithGit(t *testing.T) {
	p := newPlace(t)
	p.write("allowed", "")
	p.gpgKey("ada@example.com", "ed25519", "never")
	p.gpgKey("ben@example.com", "rsa2048", "1y")
	p.gpgKey("gone@example.com", "ed25519", "never")
	p.gpgKey("stranger@example.com", "ed25519", "never")
	// A key that lived for a day, two years ago, and its signature of then.
	then := time.Now().AddDate(-2, 0, 0)
	stamp := then.UTC().Format("20060102T150405") + "!"
	p.gpgKey("old@example.com", "ed25519", "1d", "--faked-system-time", stamp)
	p.write("gpg-then", "#!/bin/sh\nexec gpg --faked-system-time "+stamp+" \"$@\"\n")
	p.run("chmod", "0755", p.path("gpg-then"))
	old := p.commit(append(withGPG("old@example.com"), "-c", "gpg.program="+p.path("gpg-then"))...)
	signed := map[string][]byte{}
	for _, who := range []string{"ada", "ben", "gone", "stranger"} {
		signed[who] = p.commit(withGPG(who + "@example.com")...)
	}
	fpr := fingerprintOf(p, "gone@example.com")
	cert := strings.Replace(p.read("openpgp-revocs.d/"+fpr+".rev"), ":-----BEGIN", "-----BEGIN", 1)
	p.run("gpg", "--batch", "--quiet", "--import", p.write("revoke", cert))
	var ring strings.Builder
	for _, who := range []string{"ada", "ben", "gone", "old"} {
		ring.WriteString(p.export(who + "@example.com"))
	}
	stranger := fingerprintOf(p, "stranger@example.com")
	p.run("gpg", "--batch", "--yes", "--delete-secret-keys", stranger)
	p.run("gpg", "--batch", "--yes", "--delete-keys", stranger)
	k := keysOf(t, p.write("ring.asc", ring.String()))
	for who, want := range map[string]State{"ada": Good, "ben": Good, "gone": Revoked, "stranger": Unknown} {
		p.want(k, who, signed[who], want)
		if want == Good {
			p.want(k, who+", changed", bytes.Replace(signed[who], []byte("raise"), []byte("Raise"), 1), Bad)
		}
	}
	if got := k.Verify(old, then, time.Now()); got.State != Expired {
		t.Errorf("a key that has expired: %+v", got)
	}
	if got := verify(k, signed["ada"]); got.Who != "ada@example.com" || got.Key != fingerprintOf(p, "ada@example.com") {
		t.Errorf("who: %+v", got)
	}
}

func fingerprintOf(p *place, who string) string {
	p.t.Helper()
	for line := range strings.Lines(p.run("gpg", "--batch", "--with-colons", "--list-keys", who)) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			return f[9]
		}
	}
	p.t.Fatalf("no fingerprint of %s", who)
	return ""
}

// TestOurSignaturesAreGits: git accepts what SigningKey makes.
func TestOurSignaturesAreGits(t *testing.T) {
	p := newPlace(t)
	p.gpgKey("ada@example.com", "ed25519", "never")
	p.gpgKey("sub@example.com", "rsa2048", "never")
	p.run("gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", "--quick-add-key", fingerprintOf(p, "sub@example.com"), "ed25519", "sign", "never")
	pass := p.write("passphrase", "wren in the hedge\n")
	allowed := "x@example.com " + p.sshKey("ed", "ed25519", "") + "\ny@example.com " + p.sshKey("rsa", "rsa", "") +
		"\nz@example.com " + p.sshKey("locked", "ed25519", "wren in the hedge")
	p.run("gpg", "--batch", "--quiet", "--passphrase", "wren in the hedge", "--pinentry-mode", "loopback", "--quick-gen-key", "shut@example.com", "ed25519", "sign", "never")
	secret := func(who, phrase string) string {
		return p.write(who+".asc", p.run("gpg", "--batch", "--quiet", "--armor", "--pinentry-mode", "loopback", "--passphrase", phrase, "--export-secret-keys", who+"@example.com"))
	}
	k := keysOf(t, p.write("allowed", allowed), p.write("ring", p.export("ada@example.com")+p.export("sub@example.com")+p.export("shut@example.com")))
	payload := p.commit()
	for _, s := range []SigningKey{
		{File: p.path("ed")}, {File: p.path("rsa")}, {File: p.path("locked"), PassphraseFile: pass},
		{File: secret("ada", "")}, {File: secret("sub", "")}, {File: secret("shut", "wren in the hedge"), PassphraseFile: pass},
	} {
		raw, err := s.Sign(payload, time.Now())
		if err != nil {
			t.Errorf("%s: %v", s.File, err)
			continue
		}
		p.want(k, s.File, raw, Good)
		p.want(k, s.File+", changed", bytes.Replace(raw, []byte("raise"), []byte("Raise"), 1), Bad)
		if key, err := s.Key(); err != nil || key != verify(k, raw).Key {
			t.Errorf("%s: the key is %q, %v, and the signature's %q", s.File, key, err, verify(k, raw).Key)
		}
		if log := p.run("git", "-c", "gpg.ssh.allowedSignersFile="+p.path("allowed"), "log", "-1", "--show-signature", p.put(raw)); !strings.Contains(log, "Good ") {
			t.Errorf("git log --show-signature: %s", log)
		}
	}
}

// TestTamperedCommits: what is around the signed part cannot be moved.
func TestTamperedCommits(t *testing.T) {
	p := newPlace(t)
	k := keysOf(t, p.write("allowed", "x@example.com "+p.sshKey("ed", "ed25519", "")))
	raw := p.commit(withSSH(p, "ed")...)
	payload, sig, err := Split(raw)
	if err != nil || !bytes.Equal(Join(payload, sig), raw) {
		t.Fatalf("Join does not make what Git made (%v):\n%s", err, Join(payload, sig))
	}
	for name, bad := range map[string][]byte{
		"two signatures":        Join(raw, sig),
		"garbage":               Join(payload, []byte("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----")),
		"another kind":          Join(payload, []byte("-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----")),
		"garbage of OpenPGP":    Join(payload, []byte("-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----")),
		"an empty one":          Join(payload, nil),
		"a header more":         bytes.Replace(raw, []byte("author "), []byte("mergetag x\n y\nauthor "), 1),
		"signature in the text": append(bytes.Clone(payload), "\ngpgsig "+string(sig)...),
	} {
		if got := verify(k, bad); got.State == Good {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
