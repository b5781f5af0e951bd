package plan

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// DefaultRetention is for how long a backup is kept where the file does not
// say.
const DefaultRetention = Duration(30 * 24 * time.Hour)

// Backup says what of the cluster is saved before a phase is entered from
// another one: the phase is not entered before the backup was read back. Where
// it goes is a flag of the daemon.
type Backup struct {
	Include []BackupKind `json:"include"`
	// IncludeSecrets saves the Secrets among Include, encrypted for the
	// Recipients; without it none may be there.
	IncludeSecrets bool `json:"includeSecrets,omitempty"`
	// Recipients are public keys of age, age1...: who holds one of their
	// identities can read the Secrets. Changeover need not.
	Recipients []string `json:"recipients,omitempty"`
	// Retention is for how long a backup is kept at least; 30d where the file
	// does not say. The newest of a phase is always kept.
	Retention Duration `json:"retention,omitempty"`
}

// BackupKind selects the objects of a kind.
type BackupKind struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Namespace: empty for all, and for kinds without one.
	Namespace string `json:"namespace,omitempty"`
	// Selector of labels, as kubectl takes it: app=shop,tier!=cache.
	Selector string `json:"selector,omitempty"`
}

// Secret reports whether the objects are Secrets, which are only saved
// encrypted.
func (k BackupKind) Secret() bool { return k.APIVersion == "v1" && k.Kind == "Secret" }

// String names the kind for people, as kubectl does.
func (k BackupKind) String() string {
	s := k.Kind
	if group, _, ok := strings.Cut(k.APIVersion, "/"); ok {
		s += "." + group
	}
	if k.Namespace != "" {
		s += " in " + k.Namespace
	}
	if k.Selector != "" {
		s += " with " + k.Selector
	}
	return s
}

// covers reports whether all that the other selects is selected already.
func (k BackupKind) covers(o BackupKind) bool {
	return k.APIVersion == o.APIVersion && k.Kind == o.Kind &&
		(k.Namespace == "" || k.Namespace == o.Namespace) && (k.Selector == "" || k.Selector == o.Selector)
}

// backupDefaults fills in what a file leaves out.
func backupDefaults(p *Plan) {
	for i := range p.Spec.Phases {
		if b := p.Spec.Phases[i].Backup; b != nil && b.Retention == 0 {
			b.Retention = DefaultRetention
		}
	}
}

const (
	bech32Digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	ageKeyLength = 62
)

// checkRecipient finds typing errors in a public key of age: it is Bech32
// (BIP 173), which ends with a checksum.
func checkRecipient(s string) error {
	if strings.HasPrefix(strings.ToUpper(s), "AGE-SECRET-KEY-") {
		return errors.New("this is a secret key, and now known to all who read the repository")
	}
	digits, ok := strings.CutPrefix(s, "age1")
	if !ok || len(s) != ageKeyLength {
		return fmt.Errorf("%s is no public key of age", shorten(s))
	}
	sum := uint32(1)
	step := func(v uint32) {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ v
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for _, c := range []byte("age") {
		step(uint32(c) >> 5)
	}
	step(0)
	for _, c := range []byte("age") {
		step(uint32(c) & 31)
	}
	for _, c := range []byte(digits) {
		i := strings.IndexByte(bech32Digits, c)
		if i < 0 {
			return fmt.Errorf("%s is no public key of age: it cannot hold %q", shorten(s), c)
		}
		step(uint32(i)) //nolint:gosec // it is below 32
	}
	if sum != 1 {
		return fmt.Errorf("%s is no public key of age: its checksum is wrong, so a character of it is", shorten(s))
	}
	return nil
}
