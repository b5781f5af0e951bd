package signature

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	beginPGP        = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	beginPGPPrivate = "-----BEGIN PGP PRIVATE KEY BLOCK-----"
)

// strongHashes are those that a signature may be made with.
var strongHashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512}

func (k *Keys) verifyPGP(payload, armored []byte, now time.Time) Result {
	block, err := armor.Decode(bytes.NewReader(armored))
	if err != nil {
		return Result{State: Bad, Detail: "it is not armored as OpenPGP has it"}
	}
	body, err := io.ReadAll(io.LimitReader(block.Body, maxFile))
	if err != nil {
		return Result{State: Bad, Detail: "it is not armored as OpenPGP has it"}
	}
	sig, issuer, err := onlySignature(body)
	if err != nil {
		return Result{State: Bad, Detail: err.Error()}
	}
	if !slices.Contains(strongHashes, sig.Hash) {
		return Result{State: Bad, Key: issuer, Detail: fmt.Sprintf("it is made with %s, which is not safe any more", sig.Hash)}
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	_, entity, err := openpgp.VerifyDetachedSignature(k.pgp.keys, bytes.NewReader(payload), bytes.NewReader(body), config)
	if entity != nil {
		issuer = fingerprint(entity)
	}
	switch {
	case err == nil:
		return Result{State: Good, Key: issuer, Who: userID(entity)}
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return Result{State: Unknown, Key: issuer}
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return Result{State: Revoked, Key: issuer}
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return Result{State: Expired, Key: issuer, Detail: "the key has expired"}
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return Result{State: Expired, Key: issuer, Detail: "the signature, or the key's own, has expired or is of a time to come"}
	}
	return Result{State: Bad, Key: issuer, Detail: fmt.Sprintf("the key %s did not sign this commit", issuer)}
}

// onlySignature reads a block that holds one signature and nothing else, and
// names its key as far as the signature does.
func onlySignature(body []byte) (*packet.Signature, string, error) {
	packets := packet.NewReader(bytes.NewReader(body))
	p, err := packets.Next()
	sig, ok := p.(*packet.Signature)
	if err != nil || !ok || sig.IssuerKeyId == nil {
		return nil, "", errors.New("it cannot be read as an OpenPGP signature")
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, "", errors.New("it holds more than one signature")
	}
	if len(sig.IssuerFingerprint) > 0 {
		return sig, fmt.Sprintf("%X", sig.IssuerFingerprint), nil
	}
	return sig, fmt.Sprintf("%016X", *sig.IssuerKeyId), nil
}

func fingerprint(e *openpgp.Entity) string { return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) }

func userID(e *openpgp.Entity) string {
	if id := e.PrimaryIdentity(); id != nil {
		return oneLine(id.Name)
	}
	return "a key without a name"
}

// oneLine keeps what a key says of itself from breaking a line of a log.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "..."
	}
	return strings.TrimSpace(s)
}
