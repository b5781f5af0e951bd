package plan

// Bridged reports whether a bridge stands behind the gateway. The gateway sends
// it every request whose side must be decided: those of routes that split, go to
// the owner, are compared or translated, and those that name an entity or may
// create one. The bridge has all routes of the plan, and decides as if it stood
// alone; what goes to one side in any case, and what is answered by a rule, the
// gateway does itself. So one function puts callers on a side.
func (g *Gateway) Bridged() bool { return g != nil && g.NGINX != nil && g.NGINX.Bridge != "" }
