package plan

import (
	"fmt"
	"regexp"
)

// abilities are what a gateway can do, as far as gateways differ.
type abilities struct {
	name string
	// header, cookie and query are the names that it can read.
	header, cookie, query *regexp.Regexp
	// body is the longest body, in bytes, that it answers with itself.
	body int
	// reserved is a status that it does not send; 0: none.
	reserved int
}

// The abilities of the gateways. nginx drops headers with other characters in
// their names, reads a cookie or a query parameter as a variable of its name,
// closes the connection on 444, and reads an answer from a line of at most 4096
// bytes, in which characters may need a second one to be quoted.
var (
	nginxAbilities = abilities{
		name:     "nginx",
		header:   regexp.MustCompile(`^[A-Za-z0-9-]+$`),
		cookie:   regexp.MustCompile(`^[A-Za-z0-9_]+$`),
		query:    regexp.MustCompile(`^[A-Za-z0-9_]+$`),
		body:     2000,
		reserved: 444,
	}
	bridgeAbilities = abilities{
		name:   "bridge",
		header: token,
		cookie: token,
		query:  queryName,
		body:   64 << 10,
	}
)

// abilities are those of the plan's gateway.
func (v *validator) abilities() abilities {
	if g := v.p.Spec.Gateway; g != nil && g.NGINX != nil {
		return nginxAbilities
	}
	return bridgeAbilities
}

// offerBridge ends a hint about something that another gateway cannot do.
func offerBridge(hint string) string { return hint + ", or use gateway: {bridge: {}}" }

// named checks the name of a header, cookie or query parameter: that it is one
// at all, and that the gateway can read it.
func (v *validator) named(report func(path, code, message, hint string), path, what, name string, form, can *regexp.Regexp) {
	switch {
	case name == "":
	case !form.MatchString(name):
		report(path, "name", fmt.Sprintf("%s cannot be the name of a %s", shorten(name), what), "use letters, digits and -")
	case !can.MatchString(name):
		report(path, "capability", fmt.Sprintf("%s cannot read the %s %q", nginxAbilities.name, what, name), offerBridge("name it with letters and digits"))
	}
}
