package signature

import (
	"fmt"
	"strings"
	"time"
)

// State is what a signature is worth.
type State string

// The states. Only Good counts.
const (
	Good    State = "good"
	Missing State = "missing"
	Unknown State = "unknown key"
	Bad     State = "bad"
	Expired State = "expired"
	Revoked State = "revoked"
)

// Result of a verification.
type Result struct {
	State State
	// Key is the fingerprint of the key: of the primary one for OpenPGP, in
	// upper case, and as SHA256:... for SSH. Empty where it is not known.
	Key string
	// Who holds the key, as the trusted keys say; known for a Good signature.
	Who string
	// Detail says what is wrong, for people.
	Detail string
}

// String says in one clause what the signature is, such as "it is not signed".
func (r Result) String() string {
	switch r.State {
	case Good:
		return fmt.Sprintf("it is signed by %s (%s)", r.Who, r.Key)
	case Missing:
		return "it is not signed"
	case Unknown:
		return fmt.Sprintf("its signature is by the key %s, which is not among the trusted keys", r.Key)
	case Expired:
		return fmt.Sprintf("its signature is by the key %s, which does not hold at this time: %s", r.Key, r.Detail)
	case Revoked:
		return fmt.Sprintf("its signature is by the key %s, which was revoked", r.Key)
	default:
		return "its signature is bad: " + r.Detail
	}
}

// Verify verifies the signature of a commit whose committer's time is at. now
// is the time at which the key must be good too.
func (k *Keys) Verify(raw []byte, at, now time.Time) Result {
	payload, sig, err := Split(raw)
	switch {
	case err != nil:
		return Result{State: Bad, Detail: err.Error()}
	case len(sig) == 0:
		return Result{State: Missing}
	}
	switch text := strings.TrimSpace(string(sig)); {
	case strings.HasPrefix(text, "-----BEGIN PGP SIGNATURE-----"):
		return k.verifyPGP(payload, sig, now)
	case strings.HasPrefix(text, "-----BEGIN SSH SIGNATURE-----"):
		return k.verifySSH(payload, sig, at, now)
	}
	return Result{State: Bad, Detail: "it is neither an OpenPGP nor an SSH signature"}
}
