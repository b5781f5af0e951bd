// Package signature verifies and makes the signatures of Git commits: OpenPGP,
// against armored public keys, and SSH, against Git's allowed signers.
//
// It is stricter than git verify-commit in one thing: a key must be good now,
// not only when the commit says that it was made. That time is the signer's own
// word, and who stole a key that has expired since would choose it. So too with
// a key that is revoked, for whatever reason: no signature of it counts from
// then on, also none that was made before. What was found good before then is
// the caller's to remember.
package signature
