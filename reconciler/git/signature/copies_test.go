package signature

import (
	"strings"
	"testing"
	"time"
)

// gpgAt runs gpg at a time before now, with answers to what it asks.
func (p *place) gpgAt(ago time.Duration, answers string, args ...string) string {
	p.t.Helper()
	at := time.Now().Add(-ago).UTC().Format("20060102T150405") + "!"
	p.write("answers", answers)
	return p.run("sh", append([]string{"-c", `exec gpg --quiet --no-tty --pinentry-mode loopback --passphrase '' --faked-system-time ` + at +
		` --command-fd 0 "$@" <answers 2>/dev/null`, "gpg"}, args...)...)
}

// revocation is a certificate that revokes a key.
func (p *place) revocation(who string) string {
	p.t.Helper()
	return strings.Replace(p.read("openpgp-revocs.d/"+fingerprintOf(p, who)+".rev"), ":-----BEGIN", "-----BEGIN", 1)
}

// TestOneRevokedCopyIsEnough: a key may be in the files several times, as when a
// newer export is put behind the old one. It counts as gpg would merge it: what
// is revoked in one is revoked, whatever the order.
func TestOneRevokedCopyIsEnough(t *testing.T) {
	p := newPlace(t)
	const ada, sub = "ada@example.com", "sub@example.com"
	p.gpgKey(ada, "ed25519", "never")
	p.gpgKey(sub, "ed25519", "never")
	p.run("gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", "--quick-add-key", fingerprintOf(p, sub), "ed25519", "sign", "never")
	signed := map[string][]byte{ada: p.commit(withGPG(ada)...), sub: p.commit(withGPG(sub)...)}
	fresh := map[string]string{ada: p.export(ada), sub: p.export(sub)}
	p.run("gpg", "--batch", "--quiet", "--import", p.write("revoke", p.revocation(ada)))
	p.gpgAt(0, "key 1\nrevkey\ny\n2\n\ny\nsave\n", "--edit-key", sub)
	for who, raw := range signed {
		revoked := p.export(who)
		if got := verify(keysOf(t, p.write("ring", fresh[who])), raw); got.State != Good {
			t.Fatalf("%s before: %+v", who, got)
		}
		for name, files := range map[string][]string{
			"behind":      {fresh[who] + revoked},
			"before":      {revoked + fresh[who]},
			"other files": {fresh[who], revoked},
			"thrice":      {fresh[who] + revoked + fresh[who]},
		} {
			var names []string
			for i, text := range files {
				names = append(names, p.write("ring"+string(rune('a'+i)), text))
			}
			if got := verify(keysOf(t, names...), raw); got.State != Revoked {
				t.Errorf("%s, %s: %+v, want it revoked", who, name, got)
			}
		}
	}
}

// TestACertificateRevokes: a revocation certificate itself may be put into the
// file, before or behind its key.
func TestACertificateRevokes(t *testing.T) {
	p := newPlace(t)
	const ada, ben = "ada@example.com", "ben@example.com"
	p.gpgKey(ada, "ed25519", "never")
	p.gpgKey(ben, "ed25519", "never")
	raw, other := p.commit(withGPG(ada)...), p.commit(withGPG(ben)...)
	cert := p.revocation(ada)
	for name, text := range map[string]string{
		"behind": p.export(ada) + p.export(ben) + cert,
		"before": cert + p.export(ben) + p.export(ada),
	} {
		k := keysOf(t, p.write("ring", text))
		if got := verify(k, raw); got.State != Revoked {
			t.Errorf("%s: %+v, want it revoked", name, got)
		}
		if got := verify(k, other); got.State != Good {
			t.Errorf("%s, another's: %+v", name, got)
		}
	}
	// In a file of its own, it revokes what another file trusts.
	if got := verify(keysOf(t, p.write("ring", p.export(ada)), p.write("certs", cert)), raw); got.State != Revoked {
		t.Errorf("in its own file: %+v, want it revoked", got)
	}
	// One for a key that nobody trusts is of no use, and harmless.
	if got := verify(keysOf(t, p.write("ring", p.export(ben)+cert)), other); got.State != Good {
		t.Errorf("of a key that is not there: %+v", got)
	}
	// A file with nothing but certificates trusts nobody.
	if _, err := NewFiles(p.write("ring", cert)).Keys(); err == nil || !strings.Contains(err.Error(), "nothing but revocation certificates") {
		t.Errorf("nothing but a certificate: %v", err)
	}
	// One that is damaged would leave its key trusted.
	lines := strings.Split(cert[strings.Index(cert, "-----BEGIN"):strings.LastIndex(cert, "\n=")], "\n") // without its checksum
	last := len(lines) - 1
	lines[last] = strings.Map(func(r rune) rune { return map[bool]rune{true: 'B', false: 'A'}[r == 'A'] }, lines[last][:4]) + lines[last][4:]
	damaged := strings.Join(lines, "\n") + "\n-----END PGP PUBLIC KEY BLOCK-----\n"
	if _, err := NewFiles(p.write("ring", p.export(ada)+damaged)).Keys(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a damaged one: %v", err)
	}
	// Nobody revokes another's key.
	if got := verify(keysOf(t, p.write("ring", p.export(ada)+p.export(ben)+p.revocation(ben))), raw); got.State != Good {
		t.Errorf("another's certificate: %+v", got)
	}
}

// TestTheNewestCopyCounts: a key whose life was made longer, or shorter, counts
// as its newest copy says, whatever the order.
func TestTheNewestCopyCounts(t *testing.T) {
	p := newPlace(t)
	const ada = "ada@example.com"
	day := 24 * time.Hour
	p.gpgKey(ada, "ed25519", "10d", "--faked-system-time", time.Now().Add(-20*day).UTC().Format("20060102T150405")+"!")
	short := p.export(ada)
	p.gpgAt(5*day, "", "--batch", "--quick-set-expire", fingerprintOf(p, ada), "1y")
	raw := p.commit(withGPG(ada)...)
	long := p.export(ada)
	p.gpgAt(2*day, "", "--batch", "--quick-set-expire", fingerprintOf(p, ada), time.Now().Add(-day).UTC().Format("2006-01-02"))
	ended := p.export(ada)
	for name, c := range map[string]struct {
		ring string
		want State
	}{
		"short": {short, Expired}, "long": {long, Good}, "ended": {ended, Expired},
		"longer behind": {short + long, Good}, "longer before": {long + short, Good},
		"ended behind": {short + long + ended, Expired}, "ended before": {ended + long, Expired},
	} {
		if got := verify(keysOf(t, p.write("ring", c.ring)), raw); got.State != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}
