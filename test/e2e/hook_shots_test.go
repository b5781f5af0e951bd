package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
)

// shot is one kind of delivery, and the code by which it must be answered.
type shot struct {
	name, method, path, body string
	headers                  map[string]string
	code                     int
	wakes                    bool
}

// Kinds beside the steady rate.
const (
	largeWithLength = "10 MB with a length"
	largeInChunks   = "10 MB in chunks"
	slowHeaders     = "headers that drip"
	slowBody        = "a body that drips"
)

// These heads have a signature that is as good as any to who does not know the
// secret.
var (
	largeHead = "POST /hook/github HTTP/1.1\r\nHost: changeover\r\nX-Hub-Signature-256: sha256=" + strings.Repeat("0", 64) + "\r\n"
	slowHead  = largeHead + "Content-Length: 1000000\r\n\r\n"
	slowStart = largeHead + "X-Long: "
)

// push is about as long as what hosts send.
func push(ref string) string {
	return fmt.Sprintf(`{"ref": %q, "after": "5f3c1a2e", "repository": {"full_name": "ops/migrations"}, "commits": [%q]}`, ref, strings.Repeat("x", 8000))
}

func hmacOf(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// shots are all kinds of the steady rate, in equal parts but for the random ones.
func shots(secret string) []shot {
	const wrong = "fedcba9876543210fedcba9876543210"
	main, other := push("refs/heads/main"), push("refs/heads/feature")
	github := func(secret, event, body string) map[string]string {
		return map[string]string{"X-GitHub-Event": event, "X-Hub-Signature-256": "sha256=" + hmacOf(secret, body), "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
	}
	gitea := func(secret, body string) map[string]string {
		return map[string]string{"X-Gitea-Event": "push", "X-Gitea-Signature": hmacOf(secret, body)}
	}
	gitlab := func(token string) map[string]string {
		return map[string]string{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": token}
	}
	const ok, no = http.StatusAccepted, http.StatusUnauthorized
	all := []shot{
		{"github, signed, again and again", "POST", "/hook/github", main, github(secret, "push", main), ok, true},
		{"gitlab, with the token", "POST", "/hook/gitlab", main, gitlab(secret), ok, true},
		{"gitea, signed", "POST", "/hook/gitea", main, gitea(secret, main), ok, true},
		{"generic, signed", "POST", "/hook/generic", main, map[string]string{"X-Signature": "sha256=" + hmacOf(secret, main)}, ok, true},
		{"generic, with the token", "POST", "/hook/generic", "", map[string]string{"Authorization": "Bearer " + secret}, ok, true},
		{"github, another branch", "POST", "/hook/github", other, github(secret, "push", other), ok, false},
		{"gitlab, another branch", "POST", "/hook/gitlab", other, gitlab(secret), ok, false},
		{"github, a ping", "POST", "/hook/github", "{}", github(secret, "ping", "{}"), ok, false},
		{"github, another secret", "POST", "/hook/github", main, github(wrong, "push", main), no, false},
		{"github, another's signature", "POST", "/hook/github", main + " ", github(secret, "push", main), no, false},
		{"github, no signature", "POST", "/hook/github", main, nil, no, false},
		{"github, half a signature", "POST", "/hook/github", main, map[string]string{"X-Hub-Signature-256": "sha256=0123"}, no, false},
		{"gitea, another secret", "POST", "/hook/gitea", main, gitea(wrong, main), no, false},
		{"gitlab, another token", "POST", "/hook/gitlab", main, gitlab(wrong), no, false},
		{"generic, another token", "POST", "/hook/generic", main, map[string]string{"Authorization": "Bearer " + wrong}, no, false},
		{"a host that is not known", "POST", "/hook/bitbucket", main, gitlab(secret), http.StatusNotFound, false},
		{"another path", "POST", "/v1/plans/default/orders/rollback", `{"to": "setup"}`, gitlab(secret), http.StatusNotFound, false},
		{"GET", "GET", "/hook/gitlab", "", gitlab(secret), http.StatusMethodNotAllowed, false},
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		b := make([]byte, r.IntN(30_000))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		body := string(b)
		all = append(all,
			shot{"random bytes, signed", "POST", "/hook/github", body, github(secret, "push", body), ok, true},
			shot{"random bytes, wrongly signed", "POST", "/hook/github", body, github(wrong, "push", body), no, false},
			shot{"random bytes, with nothing", "POST", "/hook/generic", body, nil, no, false},
		)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
