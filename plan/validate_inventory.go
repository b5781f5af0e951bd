package plan

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
)

// inventory checks where entities are listed and what is done with them. What
// stands in expressions is checked where they are compiled.
func (v *validator) inventory(at string, e *Entities) {
	if e.Source == nil {
		for _, f := range []string{"id", "live", "order", "inFlight", "modern", "values", "sync", "verify", "handOver", "handBack", "rules", "rate", "concurrency", "interval"} {
			if v.has(at+"."+f) && v.whole(at+".source") {
				v.key(at+"."+f, "entities", fmt.Sprintf("`%s` needs legacy's inventory, and the plan does not name it", f), `say where entities are listed: source: {http: {url: "http://HOST/PATH"}}`)
				return
			}
		}
		return
	}
	v.source(at+".source", e.Source)
	v.positive(at, e)
	if e.Modern != nil {
		v.source(at+".modern.source", &e.Modern.Source)
	}
	v.values(at, e)
	if len(e.Rules) > 0 {
		v.key(at+".rules", "entities", "rules are for objects of a cluster whose owner is a label", "remove them, or write owner: label")
	}
	if e.Sync != nil {
		v.call(at+".sync.upsert.http", &e.Sync.Upsert.HTTP)
		if e.Modern != nil && e.Modern.Live == "" && v.whole(at+".modern") {
			v.missing(at+".modern.live", "sync writes copies to modern: say which items modern serves itself, such as live: item.owner == 'modern'; else every copy would look like a second claim")
		}
	}
	v.verify(at+".verify", e)
	v.steps(at+".handOver", e.HandOver)
	v.steps(at+".handBack", e.HandBack)
	if len(e.HandOver) > 0 && len(e.HandBack) == 0 && v.whole(at+".handBack") {
		v.missing(at+".handBack", "say how an entity goes back to legacy: a rollback needs it")
	}
	if len(e.HandBack) > 0 && len(e.HandOver) == 0 && v.whole(at+".handOver") {
		v.missing(at+".handOver", "say how an entity comes to modern, or remove handBack")
	}
}

func (v *validator) values(at string, e *Entities) {
	for _, name := range slices.Sorted(maps.Keys(e.Values)) {
		v.variable(join(at+".values", name), "a map of values", name, "values.NAME")
	}
}

func (v *validator) compared(at string, f *EntityVerify) {
	if len(f.Equal) == 0 && v.whole(at+".equal") && v.has(at+".equal") {
		v.at(at+".equal", "entities", "nothing is compared", `write what must hold: equal: ["legacy.name == modern.name"]`)
	}
}

// Bounds of entities.
const (
	maxRate        = 10_000
	maxConcurrency = 256
	maxPage        = 64 << 20
)

func (v *validator) positive(at string, e *Entities) {
	if v.has(at+".rate") && !(e.Rate > 0 && e.Rate <= maxRate) {
		v.at(at+".rate", "entities", fmt.Sprintf("a rate of %v a second is not above 0 and at most %d", e.Rate, maxRate), fmt.Sprintf("leave it out for %d", DefaultRate))
	}
	if v.has(at+".concurrency") && (e.Concurrency < 1 || e.Concurrency > maxConcurrency) {
		v.at(at+".concurrency", "entities", fmt.Sprintf("%d at once is not from 1 to %d", e.Concurrency, maxConcurrency), fmt.Sprintf("leave it out for %d", DefaultConcurrency))
	}
	if e.Verify != nil && e.Verify.Sample < 0 {
		v.at(at+".verify.sample", "entities", fmt.Sprintf("a sample of %d entities is none", e.Verify.Sample), "leave it out to compare all")
	}
}

func (v *validator) source(at string, s *Inventory) {
	given := 0
	for _, set := range []bool{s.HTTP != nil, s.SQL != nil, s.Kubernetes != nil} {
		if set {
			given++
		}
	}
	if given != 1 && v.whole(at) {
		v.at(at, "inventory", fmt.Sprintf("the inventory has %d of http, sql and kubernetes", given), "give exactly one of them")
	}
	if h := s.HTTP; h != nil {
		at := at + ".http"
		v.inventoryURL(at+".url", h.URL)
		v.headers(at+".headers", h.Headers, abilities{header: token})
		v.noSecrets(at+".headers", h.Headers)
		v.secretFile(at+".bearerTokenFile", h.BearerTokenFile)
		if v.has(at+".maxPage") && (h.MaxPage < 1 || h.MaxPage > maxPage) {
			v.at(at+".maxPage", "inventory", fmt.Sprintf("a page of %d bytes is not from 1 to %d", h.MaxPage, maxPage), fmt.Sprintf("leave it out for %d", DefaultMaxPage))
		}
	}
	if q := s.SQL; q != nil {
		at := at + ".sql"
		v.oneOf(at+".driver", string(q.Driver), string(Postgres), string(MySQL))
		v.secretFile(at+".dsnFile", q.DSNFile)
	}
	if k := s.Kubernetes; k != nil {
		v.inventoryKind(at+".kubernetes", k)
	}
}

func (v *validator) inventoryKind(at string, k *KubernetesInventory) {
	group, version, grouped := strings.Cut(k.APIVersion, "/")
	if !grouped {
		group, version = "", k.APIVersion
	}
	if k.APIVersion != "" && (grouped && !isSubdomain(group) || !apiVersion.MatchString(version)) {
		v.at(at+".apiVersion", "inventory", fmt.Sprintf("%s is not an apiVersion", shorten(k.APIVersion)), "write it as in manifests: v1, or GROUP/VERSION such as apps/v1")
	}
	switch {
	case k.Kind == "":
	case !apiKind.MatchString(k.Kind):
		v.at(at+".kind", "inventory", fmt.Sprintf("%s is not a kind", shorten(k.Kind)), "write it as in manifests: NetworkIntent")
	case k.Kind == "Secret" && !grouped:
		v.at(at+".kind", "inventory", "an inventory may not read Secrets", "list the objects that the entities are")
	}
	if k.Namespace != "" {
		v.label(at+".namespace", "a namespace", k.Namespace)
	}
}

// inventoryURL checks the whole URL of a list.
func (v *validator) inventoryURL(at, raw string) {
	u, err := url.Parse(raw)
	report := func(message string) {
		v.at(at, "inventory", message, "write it as http://HOST:PORT/PATH or https://HOST:PORT/PATH")
	}
	switch {
	case raw == "":
	case strings.Contains(raw, "@"):
		v.secret(at, "inventory", "the URL holds a user or password, or an @", "credentials do not belong into Git: use bearerTokenFile; write %40 for @")
	case err != nil, u.Opaque != "", u.Scheme != "http" && u.Scheme != "https", !isHost(u.Hostname(), strings.HasPrefix(u.Host, "[")), !isPort(u):
		report(fmt.Sprintf("%s is not an absolute http or https URL", shorten(raw)))
	case u.Fragment != "":
		report("the URL has a fragment, which no server sees")
	}
}

// secretHeaders are those that hold credentials.
var secretHeaders = []string{"authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"}

func (v *validator) noSecrets(at string, headers map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch l := strings.ToLower(name); {
		case slices.Contains(secretHeaders, l):
			v.secret(join(at, name), "header", fmt.Sprintf("header %q holds a credential", name), "credentials do not belong into Git: use bearerTokenFile")
		case isGatewayHeader(l):
			v.key(join(at, name), "header", fmt.Sprintf("header %q is not for a plan to set", name), "remove it")
		}
	}
}

// secretFile checks the name of a file in the daemon's folder of secrets.
func (v *validator) secretFile(at, s string) {
	if s == "" {
		return
	}
	if strings.HasPrefix(s, "/") || path.Clean(s) != s || s == "." || strings.HasPrefix(s, "..") || strings.ContainsAny(s, "\\\x00") || len(s) > maxText {
		v.at(at, "secret-file", fmt.Sprintf("%s is no file below a folder", shorten(s)), "give its path in the folder of the daemon's --secrets-dir, such as legacy/token")
	}
}

func (v *validator) steps(at string, steps []EntityStep) {
	for i := range steps {
		v.call(fmt.Sprintf("%s[%d].http", at, i), &steps[i].HTTP)
	}
}

func (v *validator) call(at string, c *HTTPCall) {
	if c.Method != "" && !method.MatchString(c.Method) {
		v.at(at+".method", "match", fmt.Sprintf("%s is not a method", shorten(c.Method)), "methods are upper-case words such as PUT")
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		v.named(v.key, join(at+".headers", name), "header", name, token, token)
		if other, ok := seen[strings.ToLower(name)]; ok {
			v.key(join(at+".headers", name), "header", fmt.Sprintf("header %q is %q in other letters", name, other), "remove one of the two: names of headers have no case")
		}
		seen[strings.ToLower(name)] = name
	}
	v.noSecrets(at+".headers", c.Headers)
	for i, code := range c.Expect {
		if code < 200 || code > 499 {
			v.at(fmt.Sprintf("%s.expect[%d]", at, i), "entities", fmt.Sprintf("%d is no code of success", code), "give codes such as 200, 201, 409; 5xx is always a failure")
		}
	}
	v.secretFile(at+".bearerTokenFile", c.BearerTokenFile)
}

func (v *validator) verify(at string, e *Entities) {
	f := e.Verify
	if f == nil {
		return
	}
	for i, s := range []*EntityStep{f.Legacy, f.Modern} {
		name := []string{"legacy", "modern"}[i]
		if s == nil {
			continue
		}
		v.call(at+"."+name+".http", &s.HTTP)
		if !isSafe(s.HTTP.Method) && v.whole(at+"."+name) {
			v.at(at+"."+name+".http.method", "entities", fmt.Sprintf("%s may change something", shorten(s.HTTP.Method)), "verify only reads: use GET or HEAD")
		}
	}
	v.compared(at, f)
	if f.Modern == nil && e.Modern == nil && v.whole(at+".modern") && v.whole("spec.entities.modern") {
		v.at(at, "entities", "there is nothing of modern's to compare with", "ask it for one, verify: {modern: {http: {url: ...}}}, or name its inventory, spec.entities.modern")
	}
}
