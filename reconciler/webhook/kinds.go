package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
)

// kind is how a Git host delivers.
type kind struct {
	// shown reports whether a delivery shows the secret.
	shown func(h http.Header, secret, body []byte) bool
	// event is what happened; empty where the host does not tell.
	event func(h http.Header) string
	// wakes are the events that may concern the branch: pushes, and pull
	// requests, whose heads are reported on.
	wakes []string
}

// kinds by the last element of the path.
var kinds = map[string]kind{
	"github": {
		shown: func(h http.Header, secret, body []byte) bool {
			return signed(strings.TrimPrefix(h.Get("X-Hub-Signature-256"), "sha256="), secret, body)
		},
		event: header("X-GitHub-Event"),
		wakes: []string{"push", "pull_request", "create", "delete"},
	},
	"gitea": {
		shown: func(h http.Header, secret, body []byte) bool { return signed(h.Get("X-Gitea-Signature"), secret, body) },
		event: header("X-Gitea-Event"),
		wakes: []string{"push", "pull_request", "pull_request_sync", "create", "delete"},
	},
	"gitlab": {
		shown: func(h http.Header, secret, _ []byte) bool { return same(h.Get("X-Gitlab-Token"), secret) },
		event: header("X-Gitlab-Event"),
		wakes: []string{"Push Hook", "Merge Request Hook", "System Hook"},
	},
	"generic": {
		shown: func(h http.Header, secret, body []byte) bool {
			if sum, ok := strings.CutPrefix(h.Get("X-Signature"), "sha256="); ok {
				return signed(sum, secret, body)
			}
			token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
			return ok && same(token, secret)
		},
		event: func(http.Header) string { return "" },
	},
}

func header(name string) func(http.Header) string {
	return func(h http.Header) string { return h.Get(name) }
}

// signed reports whether sum is the HMAC-SHA256 of the body in hexadecimal. The
// time that it takes does not depend on where they differ.
func signed(sum string, secret, body []byte) bool {
	got, err := hex.DecodeString(sum)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}

// same compares a token with the secret. Their digests are compared, so that the
// time tells nothing of the length either.
func same(token string, secret []byte) bool {
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256(secret)
	return hmac.Equal(a[:], b[:])
}

// branchOf is the branch that a delivery says was pushed to; empty for a tag.
// told is false where it says nothing of the kind.
func branchOf(body []byte) (name string, told bool) {
	var push struct {
		Ref string `json:"ref"`
	}
	if json.Unmarshal(body, &push) != nil {
		return "", false
	}
	name, told = strings.CutPrefix(push.Ref, "refs/heads/")
	if told {
		return name, true
	}
	return "", strings.HasPrefix(push.Ref, "refs/tags/")
}
