package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// fuzzTime is when keys and signatures are made.
var fuzzTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// signingKeys makes a key of each kind, and a file that trusts it. They are the
// same in each of the processes that fuzz at once.
func signingKeys(f testing.TB) (keys []SigningKey, trusted []string) {
	f.Helper()
	dir := f.TempDir()
	put := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			f.Fatal(err)
		}
		return file
	}
	armored := func(kind string, write func(*bytes.Buffer)) []byte {
		var plain, out bytes.Buffer
		write(&plain)
		w, err := armor.Encode(&out, kind, nil)
		if err == nil {
			_, err = w.Write(plain.Bytes())
		}
		if err != nil || w.Close() != nil {
			f.Fatal(err)
		}
		return out.Bytes()
	}
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		f.Fatal(err)
	}
	key, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		f.Fatal(err)
	}
	e, err := openpgp.NewEntity("ada", "", "ada@example.com", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return fuzzTime }, Rand: rand.New(rand.NewSource(1)),
	})
	if err != nil {
		f.Fatal(err)
	}
	secret := armored(openpgp.PrivateKeyType, func(b *bytes.Buffer) { err = e.SerializePrivate(b, nil) })
	shown := armored(openpgp.PublicKeyType, func(b *bytes.Buffer) { err = e.Serialize(b) })
	if err != nil {
		f.Fatal(err)
	}
	return []SigningKey{{File: put("ssh", pem.EncodeToMemory(block))}, {File: put("pgp", secret)}},
		[]string{put("allowed", append([]byte("ada@example.com "), ssh.MarshalAuthorizedKey(key)...)), put("ring", shown)}
}

// FuzzVerify: whatever a commit's object holds, nothing but what was signed is
// good. Whoever may push chooses these bytes.
func FuzzVerify(f *testing.F) {
	keys, trusted := signingKeys(f)
	k, err := NewFiles(trusted...).Keys()
	if err != nil {
		f.Fatal(err)
	}
	now := fuzzTime
	payload := []byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nraise\n")
	f.Add(payload)
	for _, s := range keys {
		raw, err := s.Sign(payload, now)
		if err != nil {
			f.Fatal(err)
		}
		if res := k.Verify(raw, now, now.Add(time.Minute)); res.State != Good {
			f.Fatalf("%s: %+v", s.File, res)
		}
		f.Add(raw)
		f.Add(bytes.Replace(raw, []byte("raise"), []byte("Raise"), 1))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		res := k.Verify(raw, now, now.Add(time.Minute))
		signed, _, err := Split(raw)
		if res.State == Good && (err != nil || !bytes.Equal(signed, payload)) {
			t.Fatalf("%+v of what nobody signed (%v):\n%s", res, err, raw)
		}
		if res.State == "" || res.String() == "" {
			t.Fatalf("%+v says nothing", res)
		}
	})
}

// FuzzSignaturePackets is the same for what is inside of the armor, which a
// fuzzer finds no way through: its first byte chooses the kind.
func FuzzSignaturePackets(f *testing.F) {
	keys, trusted := signingKeys(f)
	k, err := NewFiles(trusted...).Keys()
	if err != nil {
		f.Fatal(err)
	}
	now := fuzzTime
	payload, other := []byte("tree x\n\nraise\n"), []byte("tree x\n\nRaise\n")
	for i, s := range keys {
		raw, err := s.Sign(payload, now)
		if err != nil {
			f.Fatal(err)
		}
		_, sig, err := Split(raw)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), inside(f, sig))
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		var sig bytes.Buffer
		if kind%2 == 0 {
			_ = pem.Encode(&sig, &pem.Block{Type: "SSH SIGNATURE", Bytes: data})
		} else {
			w, err := armor.Encode(&sig, "PGP SIGNATURE", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(data)
			_ = w.Close()
		}
		if res := k.Verify(Join(other, sig.Bytes()), now, now.Add(time.Minute)); res.State == Good || res.State == Missing {
			t.Fatalf("%+v of what nobody signed", res)
		}
	})
}

// inside is what an armored text holds.
func inside(f *testing.F, sig []byte) []byte {
	f.Helper()
	if block, _ := pem.Decode(sig); block != nil && block.Type == "SSH SIGNATURE" {
		return block.Bytes
	}
	block, err := armor.Decode(bytes.NewReader(sig))
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(block.Body); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}

// FuzzRing: a file of keys is taken or refused, and no key is there twice.
func FuzzRing(f *testing.F) {
	_, trusted := signingKeys(f)
	data, err := readFile(trusted[1])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inside(f, data), inside(f, data))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var text bytes.Buffer
		for _, part := range [][]byte{a, b} {
			w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(part)
			_ = w.Close()
			text.WriteString("\n")
		}
		var r ring
		if r.add(text.Bytes()) != nil || r.settle() != nil {
			return
		}
		seen := map[string]bool{}
		for _, e := range r.keys {
			if seen[fingerprint(e)] {
				t.Fatalf("key %s is there twice", fingerprint(e))
			}
			seen[fingerprint(e)] = true
		}
		now := fuzzTime
		_ = (&Keys{pgp: r}).Verify([]byte("tree x\ngpgsig -----BEGIN PGP SIGNATURE-----\n"), now, now)
	})
}

// TestFuzzedKeysAreTheSame: else a signature that a process keeps would be
// another key's for the next.
func TestFuzzedKeysAreTheSame(t *testing.T) {
	keys, _ := signingKeys(t)
	_, trusted := signingKeys(t)
	k := keysOf(t, trusted...)
	for _, s := range keys {
		raw, err := s.Sign([]byte("tree x\n\nraise\n"), fuzzTime)
		if err != nil {
			t.Fatal(err)
		}
		if res := k.Verify(raw, fuzzTime, fuzzTime); res.State != Good {
			t.Errorf("%s: %s", s.File, res)
		}
	}
}
