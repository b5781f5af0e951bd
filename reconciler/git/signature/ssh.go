package signature

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

func (k *Keys) verifySSH(payload, armored []byte, at, now time.Time) Result {
	sig, err := sshsig.Unarmor(armored)
	if err != nil {
		return Result{State: Bad, Detail: "it cannot be read as an SSH signature"}
	}
	res := Result{Key: ssh.FingerprintSHA256(sig.PublicKey)}
	if err := sshsig.Verify(bytes.NewReader(payload), sig, sig.PublicKey, sig.HashAlgorithm, namespace); err != nil {
		res.State, res.Detail = Bad, fmt.Sprintf("the key %s did not sign this commit", res.Key)
		if sig.Namespace != namespace {
			res.Detail = fmt.Sprintf("it is made for %q, not for %q", oneLine(sig.Namespace), namespace)
		}
		return res
	}
	// One line that lets the key sign is enough, as for ssh-keygen.
	res.State = Unknown
	for _, a := range k.ssh {
		if !bytes.Equal(a.key.Marshal(), sig.PublicKey.Marshal()) || !a.isFor(namespace) {
			continue
		}
		if why := cmp.Or(a.holds(at), a.holds(now)); why != "" {
			res.State, res.Detail = Expired, why
			continue
		}
		return Result{State: Good, Key: res.Key, Who: a.principals}
	}
	return res
}
