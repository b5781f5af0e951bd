package signature

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// SigningKey is a file with a private key: OpenSSH's, or an armored OpenPGP one.
// The content tells which. It is read anew for every signature, and may be used
// by several goroutines. Errors never hold what is in the files.
type SigningKey struct {
	File string
	// PassphraseFile holds the key's passphrase; empty: it has none.
	PassphraseFile string
}

// signer makes signatures with one key.
type signer struct {
	pgp *openpgp.Entity
	ssh ssh.Signer
}

// Key is the fingerprint of the key, as in Result.Key.
func (s SigningKey) Key() (string, error) {
	k, err := s.load()
	if err != nil {
		return "", err
	}
	if k.pgp != nil {
		return fingerprint(k.pgp), nil
	}
	return ssh.FingerprintSHA256(k.ssh.PublicKey()), nil
}

// Sign returns the commit object with a signature of it, made at now.
func (s SigningKey) Sign(payload []byte, now time.Time) ([]byte, error) {
	k, err := s.load()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if k.pgp != nil {
		err = openpgp.ArmoredDetachSign(&out, k.pgp, bytes.NewReader(payload), &packet.Config{Time: func() time.Time { return now }})
		if err != nil {
			return nil, s.unusable("it cannot sign: it may have expired, be revoked, or be meant for another use")
		}
		return Join(payload, out.Bytes()), nil
	}
	sig, err := sshsig.Sign(bytes.NewReader(payload), k.ssh, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, s.unusable("it cannot sign")
	}
	return Join(payload, sshsig.Armor(sig)), nil
}

func (s SigningKey) unusable(why string) error {
	return fmt.Errorf("sign a commit: key %s: %s", s.File, why)
}

func (s SigningKey) load() (signer, error) {
	data, err := readFile(s.File)
	if err != nil {
		return signer{}, fmt.Errorf("sign a commit: %w", err)
	}
	var passphrase []byte
	if s.PassphraseFile != "" {
		if passphrase, err = readFile(s.PassphraseFile); err != nil {
			return signer{}, fmt.Errorf("sign a commit: %w", err)
		}
		if passphrase = bytes.TrimRight(passphrase, "\r\n"); len(passphrase) == 0 {
			return signer{}, s.unusable("the passphrase file " + s.PassphraseFile + " is empty")
		}
	}
	if bytes.HasPrefix(data, []byte("ssh-")) || bytes.HasPrefix(data, []byte("ecdsa-")) || bytes.Contains(data, []byte(beginPGP)) {
		return signer{}, s.unusable("it is a public key; give the private one")
	}
	if bytes.Contains(data, []byte(beginPGPPrivate)) {
		e, err := s.loadPGP(data, passphrase)
		return signer{pgp: e}, err
	}
	k, err := s.loadSSH(data, passphrase)
	return signer{ssh: k}, err
}

// loadSSH never repeats the library's errors: they could hold a part of the
// key.
func (s SigningKey) loadSSH(data, passphrase []byte) (ssh.Signer, error) {
	key, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return key, nil
	case !errors.As(err, &locked):
		return nil, s.unusable("it is neither an OpenSSH private key nor an armored OpenPGP one")
	case len(passphrase) == 0:
		return nil, s.unusable("it has a passphrase; give a passphrase file that holds it")
	}
	if key, err = ssh.ParsePrivateKeyWithPassphrase(data, passphrase); err != nil {
		return nil, s.unusable("the passphrase in " + s.PassphraseFile + " does not open it")
	}
	return key, nil
}

func (s SigningKey) loadPGP(data, passphrase []byte) (*openpgp.Entity, error) {
	all := blocks(data)
	keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader([]byte(all[0])))
	if err != nil || len(all) != 1 || len(keys) != 1 {
		return nil, s.unusable("it does not hold one OpenPGP key; export it with `gpg --armor --export-secret-keys`")
	}
	e, locked := keys[0], false
	for _, k := range append([]openpgp.Subkey{{PrivateKey: e.PrivateKey}}, e.Subkeys...) {
		locked = locked || k.PrivateKey != nil && !k.PrivateKey.Dummy() && k.PrivateKey.Encrypted
	}
	switch {
	case !locked:
		return e, nil
	case len(passphrase) == 0:
		return nil, s.unusable("it has a passphrase; give a passphrase file that holds it")
	}
	if err := e.DecryptPrivateKeys(passphrase); err != nil {
		return nil, s.unusable("the passphrase in " + s.PassphraseFile + " does not open it")
	}
	return e, nil
}
