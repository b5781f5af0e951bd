package git

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// CheckSigning finds out before the first commit whether those that are made
// with these options would be signed, and where commits must be signed, whether
// they would verify: else a rollback's own revert would keep every later head
// from being taken up.
func (o Options) CheckSigning() error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	verifies := o.Verify != VerifyOff
	if o.Signing.File == "" {
		if verifies {
			return errors.New("commits must be signed, but there is no key that signs the daemon's own: " +
				"its reverts would not be taken up; give it a signing key, and put the public one among the trusted keys")
		}
		return nil
	}
	now := o.Now()
	raw, err := o.Signing.Sign(encodeCommit(plumbing.ZeroHash, plumbing.ZeroHash, o.Author, now, "a probe\n"), now)
	if err != nil || !verifies {
		return err
	}
	keys, err := signature.NewFiles(o.TrustedKeys...).Keys()
	if err != nil {
		return err
	}
	if res := keys.Verify(raw, now, now); res.State != signature.Good {
		return fmt.Errorf("the daemon's own commits would not verify, and its reverts not be taken up: of a commit signed with %s, %s; "+
			"put the public key among the trusted keys", o.Signing.File, res)
	}
	return nil
}
