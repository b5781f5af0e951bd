package nginx

import (
	"crypto/sha256"
	"encoding/hex"
)

// capture is the variable that a group of a regular expression sets. PCRE takes
// no longer name than 32 letters.
func (n names) capture(suffix string) string {
	const most = 32
	if name := string(n) + "_" + suffix; len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(n))
	return "changeover_" + hex.EncodeToString(sum[:4]) + "_" + suffix
}

// What a request leaves for the log, when a map is asked where it goes: the rule
// and the side that governed it. Of a request that another location of the server
// block served, and of one that was refused, both stay empty, while $..._rule and
// $..._side would be worked out for the log alone, and tell of what never was.
const (
	logRule = "in_rule"
	logSide = "in_side"
)

// noted is a part of a map's key that is left for the log.
func (c *config) noted(as, pattern string) string {
	return "(?<" + c.names.capture(as) + ">" + pattern + ")"
}

// writeLogFormat defines a format that metrics can be made from. It is used
// where an access_log of the user names it. Neither the caller's key is in it nor
// the query, which may hold secrets.
func (c *config) writeLogFormat(w *writer) {
	w.open("map $request_uri %s", c.names.variable("logged_uri"))
	w.directive(quote(`~\A([^?]*)`), "$1")
	w.close()
	rule, side := "$"+c.names.capture(logRule), "$"+c.names.capture(logSide)
	switch {
	case len(c.backends) == 0:
		side = "" // nothing sets it
	case c.bridged():
		side = c.chosenSide()
	}
	w.comment("For `access_log FILE " + string(c.names) + ";` in the server block.")
	w.line("log_format " + string(c.names) + " escape=json")
	for _, part := range []string{
		`'{"time":"$time_iso8601","plan":"` + c.plan.Metadata.Name + `",'`,
		`'"rule":"` + rule + `","side":"` + side + `",'`,
		`'"method":"$request_method","uri":"` + c.names.variable("logged_uri") + `","status":"$status","bytes":"$bytes_sent",'`,
		`'"seconds":"$request_time","upstream":"$upstream_addr","upstreamStatus":"$upstream_status",'`,
		`'"upstreamSeconds":"$upstream_response_time","requestId":"$request_id"}';`,
	} {
		w.line("    " + part)
	}
}
