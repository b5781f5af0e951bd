package signature

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// ring is what files say of OpenPGP keys. A key may be there several times, as
// where a newer export was put behind an older one: the copies are merged as gpg
// does it, so that one that is revoked anywhere is revoked.
type ring struct {
	keys         openpgp.EntityList
	certificates []*packet.Signature // each revokes a key
}

// add takes in the armored blocks of a file.
func (r *ring) add(data []byte) error {
	for i, block := range blocks(data) {
		certificates, err := parseCertificates(block)
		if err != nil {
			return fmt.Errorf("block %d of armored keys cannot be read: %w; export it again with `gpg --armor --export`", i+1, err)
		}
		r.certificates = append(r.certificates, certificates...)
		if len(certificates) > 0 {
			continue
		}
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(block))
		if err != nil {
			return fmt.Errorf("block %d of armored keys cannot be read: %w; export it again with `gpg --armor --export`", i+1, err)
		}
		for _, key := range keys {
			r.merge(key)
		}
	}
	return nil
}

// parseCertificates reads a block as gpg --gen-revoke makes it, which holds
// revocations without their key. There are none where the block begins
// otherwise.
func parseCertificates(block string) ([]*packet.Signature, error) {
	b, err := armor.Decode(strings.NewReader(block))
	if err != nil {
		return nil, err
	}
	packets := packet.NewReader(b.Body)
	var out []*packet.Signature
	for {
		p, err := packets.Next()
		sig, ok := p.(*packet.Signature)
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err == nil && ok && sig.SigType == packet.SigTypeKeyRevocation:
			out = append(out, sig)
		case len(out) == 0:
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("behind a revocation certificate: %w", err)
		default:
			return nil, errors.New("a revocation certificate is followed by something else")
		}
	}
}

// merge takes in a key, or one more copy of it.
func (r *ring) merge(key *openpgp.Entity) {
	i := slices.IndexFunc(r.keys, func(e *openpgp.Entity) bool { return fingerprint(e) == fingerprint(key) })
	if i < 0 {
		r.keys = append(r.keys, key)
		return
	}
	e := r.keys[i]
	e.Revocations = union(e.Revocations, key.Revocations)
	e.SelfSignature = newer(e.SelfSignature, key.SelfSignature)
	for name, id := range key.Identities {
		if have, ok := e.Identities[name]; ok {
			have.SelfSignature = newer(have.SelfSignature, id.SelfSignature)
			have.Revocations = union(have.Revocations, id.Revocations)
		} else {
			e.Identities[name] = id
		}
	}
	for _, sub := range key.Subkeys {
		j := slices.IndexFunc(e.Subkeys, func(s openpgp.Subkey) bool {
			return string(s.PublicKey.Fingerprint) == string(sub.PublicKey.Fingerprint)
		})
		if j < 0 {
			e.Subkeys = append(e.Subkeys, sub)
			continue
		}
		e.Subkeys[j].Sig = newer(e.Subkeys[j].Sig, sub.Sig)
		e.Subkeys[j].Revocations = union(e.Subkeys[j].Revocations, sub.Revocations)
	}
}

// settle applies the certificates. One whose signature does not hold is an
// error, as somebody believes that the key is revoked.
func (r *ring) settle() error {
	for _, c := range r.certificates {
		for _, e := range r.keys {
			if !c.CheckKeyIdOrFingerprint(e.PrimaryKey) {
				continue
			}
			if e.PrimaryKey.VerifyRevocationSignature(c) != nil {
				return fmt.Errorf("the revocation certificate of key %s was not made by that key, or is damaged; take the key out of the file instead", fingerprint(e))
			}
			e.Revocations = union(e.Revocations, []*packet.Signature{c})
		}
	}
	return nil
}

func newer(a, b *packet.Signature) *packet.Signature {
	if a == nil || b != nil && b.CreationTime.After(a.CreationTime) {
		return b
	}
	return a
}

// union leaves out what is there already: how many revocations an identity has
// tells which of them is the primary one.
func union(have, more []*packet.Signature) []*packet.Signature {
	for _, m := range more {
		if !slices.ContainsFunc(have, func(h *packet.Signature) bool {
			return h.CreationTime.Equal(m.CreationTime) && h.HashTag == m.HashTag
		}) {
			have = append(have, m)
		}
	}
	return have
}
