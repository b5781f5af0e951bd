package plan

import (
	"fmt"
	"regexp"
)

// abilities are what a gateway can do, as far as gateways differ.
type abilities struct {
	name string
	// header are the names of request headers that it can read.
	header *regexp.Regexp
	// silent is a status that it does not send; 0: none.
	silent int
}

// The abilities of the gateways. nginx drops request headers with other
// characters in their names, and closes the connection on 444.
var (
	nginxAbilities  = abilities{name: "nginx", header: regexp.MustCompile(`^[A-Za-z0-9-]+$`), silent: 444}
	bridgeAbilities = abilities{name: "bridge", header: token}
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
		report(path, "capability", fmt.Sprintf("%s cannot read the %s %q", v.abilities().name, what, name), offerBridge("name it with letters, digits and -"))
	}
}
