// Package webhook takes the deliveries by which a Git host tells of a push, and
// does one thing: it wakes the reading of the branch. What a delivery says
// decides nothing, so one that is forged, repeated or lost does no harm, and
// polling goes on beside it.
//
// A delivery must show the shared secret: GitHub and Gitea sign the body by
// HMAC-SHA256 (X-Hub-Signature-256, X-Gitea-Signature), GitLab sends the secret
// as a token (X-Gitlab-Token), and anything else may do either (X-Signature as
// sha256=HEX, or Authorization: Bearer). All are compared in constant time.
package webhook
