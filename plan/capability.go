package plan

import (
	"fmt"
	"regexp"
	"strings"
)

// capability is something that not every gateway can do, in words that go
// behind "cannot".
type capability string

const (
	stick     capability = "keep callers on one side"
	answer    capability = "answer requests itself"
	matchExpr capability = "match paths by an expression"
	copies    capability = "mirror requests"
	rewrites  capability = "rewrite requests"
	choose    capability = "let listed callers choose their side"
	translate capability = "translate between two APIs"
	compares  capability = "compare answers"
	owners    capability = "send requests to an entity's owner"
)

// abilities are what a gateway can do, as far as gateways differ.
type abilities struct {
	name  string // the field of spec.gateway
	write string // how a plan names it
	// header are the names of request headers that it can read.
	header *regexp.Regexp
	// silent is a status that it does not send; 0: none.
	silent int
	// url and service: it reaches backends so.
	url, service bool
	// lacks is what it cannot do, and why where there is more to say.
	lacks map[capability]string
	// behind: it is the gateway of that name with a bridge behind it, and offered
	// to plans with that one alone.
	behind string
}

// The names of gateways with a bridge behind them.
const (
	bridgedNGINX      = "nginx with bridge"
	bridgedGatewayAPI = "gatewayAPI with bridge"
)

var nginxHeader = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// gateways are all there are. nginx drops request headers with other characters
// in their names, and closes the connection on 444.
var gateways = []abilities{
	{name: "gatewayAPI", write: "gateway: {gatewayAPI: ...}", header: token, service: true, lacks: map[capability]string{
		stick:     ": weights are random for each request",
		answer:    ": an HTTPRoute has no direct response",
		matchExpr: ": each implementation reads expressions in its own way",
		choose:    ": an HTTPRoute does not match callers by their address",
		translate: "",
		compares:  ": answers to copies are dropped",
		owners:    ": an HTTPRoute knows no owners",
	}},
	{name: "nginx", write: "gateway: {nginx: {}}", header: nginxHeader, silent: 444, url: true,
		lacks: map[capability]string{translate: "", compares: ": answers to copies are dropped", owners: ""}},
	{name: bridgedNGINX, write: "gateway: {nginx: {bridge: URL}}", header: nginxHeader, silent: 444, url: true, behind: "nginx"},
	{name: bridgedGatewayAPI, write: "gateway: {gatewayAPI: {bridge: SERVICE, ...}}", header: token, service: true, behind: "gatewayAPI"},
	{name: "bridge", write: "gateway: {bridge: {}}", header: token, url: true},
}

// Capability is something that not every gateway can do, in words that go behind
// "can".
type Capability struct {
	Does string
	// Gateways that can, as the fields of spec.gateway.
	Gateways []string
}

// Capabilities are what validation knows of where gateways differ.
func Capabilities() (out []Capability) {
	for _, c := range []capability{stick, answer, matchExpr, copies, rewrites, choose, translate, compares, owners} {
		can := Capability{Does: string(c)}
		for _, g := range gateways {
			if _, lacks := g.lacks[c]; !lacks {
				can.Gateways = append(can.Gateways, g.name)
			}
		}
		out = append(out, can)
	}
	return out
}

// gatewayNames are the gateways that a plan names, in the order of the table.
func gatewayNames(g *Gateway) (names []string) {
	for _, named := range []struct {
		set  bool
		name string
	}{{g.GatewayAPI != nil, "gatewayAPI"}, {g.NGINX != nil, "nginx"}, {g.Bridge != nil, "bridge"}} {
		if named.set {
			names = append(names, named.name)
		}
	}
	return names
}

// abilities are those of the plan's gateway; where it names none or several,
// nothing is lacking.
func (v *validator) abilities() abilities {
	if v.p.Spec.Gateway != nil {
		if names := gatewayNames(v.p.Spec.Gateway); len(names) == 1 {
			name := names[0]
			switch {
			case name == "nginx" && v.has("spec.gateway.nginx.bridge"):
				name = bridgedNGINX
			case name == "gatewayAPI" && v.has("spec.gateway.gatewayAPI.bridge"):
				name = bridgedGatewayAPI
			}
			for _, g := range gateways {
				if g.name == name {
					return g
				}
			}
		}
	}
	return abilities{header: token}
}

// capable reports a field that needs what the gateway cannot do. The hint
// begins with what else would help.
func (v *validator) capable(path string, c capability, instead string) {
	can := v.abilities()
	why, lacks := can.lacks[c]
	if !lacks {
		return
	}
	var offers []string
	for _, g := range gateways {
		if _, lacks := g.lacks[c]; !lacks && (g.behind == "" || g.behind == can.name) {
			offers = append(offers, g.write)
		}
	}
	v.at(path, "capability", fmt.Sprintf("%s cannot %s%s", can.name, c, why), instead+", or use "+strings.Join(offers, " or "))
}

// offerBridge ends a hint about something that nginx cannot do.
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
