package kube

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/test/kubetest"
)

const canary = "c4n4ry-in-the-mine"

// silent fails where one of the texts holds the canary, or a good part of it.
func silent(t testing.TB, texts ...string) {
	t.Helper()
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	for _, text := range texts {
		for _, secret := range []string{canary, encoded, canary[:8], encoded[:8]} {
			if strings.Contains(text, secret) {
				t.Errorf("%q holds %q", text, secret)
			}
		}
	}
}

func TestNoDataOfASecretIsRepeated(t *testing.T) {
	k := kubetest.Shared(t)
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	secret := func(rest string) string {
		return `{apiVersion: v1, kind: Secret, metadata: {name: s}, ` + strings.NewReplacer("CANARY", canary, "BASE64", encoded).Replace(rest) + `}`
	}
	plain := secret(`data: {password: BASE64}, stringData: {other: CANARY}`)
	for name, c := range map[string]struct {
		arrange func(r *rig, p *kubetest.Proxy)
		text    string
		want    string // in the error of Expand; empty: none
	}{
		"as it should be": {nil, plain, ""},
		"a conflict": {func(r *rig, _ *kubetest.Proxy) {
			r.create(secret(`data: {password: Zm9ybWVy, other: Zm9ybWVy}`))
		}, plain, `owned by another manager: "kubetest" (.data.other, .data.password)`},
		"an edit by hand": {func(r *rig, _ *kubetest.Proxy) {
			r.bring(r.want(plain))
			r.kubectl("patch", "secret/s", "--type=merge", `--patch={"data":{"password":"`+encoded+`Cg=="}}`)
		}, plain, ""},
		"an immutable one": {func(r *rig, _ *kubetest.Proxy) {
			r.bring(r.want(secret(`immutable: true, data: {password: Zm9ybWVy}`)))
		}, secret(`immutable: true, data: {password: BASE64}`), "cannot be changed once the object exists"},
		"not in base64":     {nil, secret(`data: {password: "CANARY!"}`), "is not base64"},
		"of a wrong type":   {nil, secret(`data: {password: {a: CANARY}}`), ".data.password (expected string)"},
		"a wrong text":      {nil, secret(`stringData: {password: {a: CANARY}}`), ".data.password (expected string)"},
		"a text for a map":  {nil, secret(`data: CANARY`), ".data (expected map)"},
		"texts for a map":   {nil, secret(`stringData: CANARY`), ".stringData (expected map)"},
		"misspelt":          {nil, secret(`dta: {password: CANARY}`), ".dta (field not declared"},
		"without its keys":  {nil, secret(`type: kubernetes.io/tls, data: {password: BASE64}`), "data[tls.crt] (Required value)"},
		"for a registry":    {nil, secret(`type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: BASE64}`), "data[.dockerconfigjson]"},
		"in an annotation":  {nil, `{apiVersion: v1, kind: Secret, metadata: {name: s, labels: {a: "` + canary + ` !"}}}`, "metadata.labels (Invalid value"},
		"refused by a hook": {func(r *rig, _ *kubetest.Proxy) { r.hook().Deny("I do not like " + canary + " nor " + encoded) }, plain, "denied the request"},
		"hanging in a hook": {func(r *rig, _ *kubetest.Proxy) { r.hook().Hang() }, plain, "did not answer in time"},
		"a failing server": {func(_ *rig, p *kubetest.Proxy) {
			p.Inject(kubetest.Fault{Method: http.MethodPatch, Code: http.StatusInternalServerError})
		}, plain, "500"},
		"a lost answer": {func(_ *rig, p *kubetest.Proxy) {
			p.Inject(kubetest.Fault{Method: http.MethodPatch, AnswerLost: true})
		}, plain, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := k.Proxy(t, "")
			r := setupOn(t, k, proxy.Kubeconfig)
			r.watch()
			if c.arrange != nil {
				c.arrange(r, proxy)
			}
			d := r.want(c.text)
			if st, err := r.c.Observe(r.ctx(), d); err != nil {
				silent(t, err.Error())
			} else {
				silent(t, st.Message)
			}
			err := r.c.Expand(r.ctx(), d)
			if c.want == "" {
				must(t, err)
			} else {
				says(t, err, "Secret "+r.ns+"/s: ", c.want)
				silent(t, err.Error())
			}
			r.bringQuietly(c.text)
			r.bringQuietly(settings) // it is pruned
			silent(t, r.log.String())
			if o := r.get("ConfigMap/changeover-inventory-shop"); o != nil {
				text, _ := o.MarshalJSON()
				silent(t, string(text))
			}
		})
	}
}

func (r *rig) hook() *kubetest.Webhook {
	r.Helper()
	return r.k.Webhook(r.TB, kubetest.WebhookOptions{Namespace: r.ns, Resources: []string{"secrets"}})
}

// bringQuietly does all that can be done with a stop, whether it can or not.
func (r *rig) bringQuietly(text string) {
	r.Helper()
	d := r.want(text)
	if err := r.c.Expand(r.ctx(), d); err != nil {
		silent(r.TB, err.Error())
	}
	_, why, err := r.c.Healthy(r.ctx(), d)
	silent(r.TB, why)
	if err != nil {
		silent(r.TB, err.Error())
	}
	if err := r.c.Contract(r.ctx(), d); err != nil {
		silent(r.TB, err.Error())
	}
	st, err := r.c.Observe(r.ctx(), d)
	silent(r.TB, st.Message)
	if err != nil {
		silent(r.TB, err.Error())
	}
}
