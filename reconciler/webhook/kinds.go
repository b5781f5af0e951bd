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
	// proof is how a delivery means to show the secret.
	proof func(h http.Header) proof
	// event is what happened; empty where the host does not tell.
	event func(h http.Header) string
	// wakes are the events that may concern the branch: pushes, and pull
	// requests, whose heads are reported on.
	wakes []string
}

// kinds by the last element of the path.
var kinds = map[string]kind{
	"github": {
		proof: func(h http.Header) proof { return sum(strings.TrimPrefix(h.Get("X-Hub-Signature-256"), "sha256=")) },
		event: header("X-GitHub-Event"),
		wakes: []string{"push", "pull_request", "create", "delete"},
	},
	"gitea": {
		proof: func(h http.Header) proof { return sum(h.Get("X-Gitea-Signature")) },
		event: header("X-Gitea-Event"),
		wakes: []string{"push", "pull_request", "pull_request_sync", "create", "delete"},
	},
	"gitlab": {
		proof: func(h http.Header) proof { return proof{token: h.Get("X-Gitlab-Token")} },
		event: header("X-Gitlab-Event"),
		wakes: []string{"Push Hook", "Merge Request Hook", "System Hook"},
	},
	"generic": {
		proof: func(h http.Header) proof {
			if s, ok := strings.CutPrefix(h.Get("X-Signature"), "sha256="); ok {
				return sum(s)
			}
			if token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
				return proof{token: token}
			}
			return proof{}
		},
		event: func(http.Header) string { return "" },
	},
}

func header(name string) func(http.Header) string {
	return func(h http.Header) string { return h.Get(name) }
}

// proof of a delivery, which names one of them; without either it shows nothing.
type proof struct {
	token string
	sum   []byte // HMAC-SHA256 of the body
}

// sum is a proof by a sum in hexadecimal. One that is none shows nothing.
func sum(text string) proof {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != sha256.Size {
		return proof{}
	}
	return proof{sum: b}
}

// signed reports whether sum is the HMAC-SHA256 of the body. The time that it
// takes does not depend on where they differ.
func signed(sum, secret, body []byte) bool {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return hmac.Equal(sum, mac.Sum(nil))
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
