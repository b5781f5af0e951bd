// Package nginx renders one stop of a plan into three nginx include files:
// upstreams and maps for the http block, locations for the server block whose
// `location /` the plan owns.
//
// A request passes a chain of maps. $..._rule picks the first rule whose
// method, headers and path match, by one map whose keys are all regular
// expressions, because nginx tries those in order, while it compares plain
// keys without regard to case. $..._side then is legacy, modern or the arm of
// a split_clients keyed on the salt and the caller's identity, modern first,
// so that a ramp is monotone. Rules that answer at the gateway are sent to an
// internal location of their own.
//
// # Copies
//
// A route with mirror sends copies of its requests to modern by nginx's own
// mirror; the answers are dropped. Of a request to legacy is drawn, by the
// request's id, whether it is copied; GET, HEAD and OPTIONS are, others where
// the plan allows it, and upgrades never. Where the plan allows no others, a
// request with a body is not copied either, and no body is read for the sake of
// a copy. Where it does, nginx reads each body whole before it passes the
// request on, also where the server says proxy_request_buffering off, and a copy
// with a body above 256 KiB is dropped and named in the error log.
//
// What a caller can notice: nginx sends the answer as soon as it is there, but
// takes the next request of that connection, or closes it, when the copy is
// done. So a keep-alive connection may wait 0.1 s until modern takes the copy's
// connection (once more for TLS), 0.1 s while it takes no more of a body, and
// 0.3 s until it begins its answer: half a second at most, but for a modern that
// reads a body in dribs. Then the copy is broken off, so what modern does not
// begin to answer in 0.3 s is no measure of it; the bridge gives copies ten
// seconds, and holds up nobody. Callers with a connection of their own for each
// request, and the other requests of HTTP/2, notice nothing, unless they read to
// the connection's end. A caller that hangs up before its answer breaks off the
// copy as well. A modern that is down, slow or answers nonsense fails no
// request.
//
// A copy has the path as the client wrote it, before any rewrite of the server
// block, and keeps clear of that block's error_page, proxy_cache and log. A
// mirror of the server block's own does not reach into the plan's location while
// a stop mirrors.
//
// # Rewrites
//
// A route with rewrite has a location of its own, to which `location /` hands over.
// It works on the path as the client wrote it, so a rewrite of the server block
// beside it is not seen where it changes what stays of the path; see rewrite.go for
// paths with runs of slashes or dot segments.
//
// # A bridge behind
//
// Where the plan names one, the rules that are its own (render.Rule.Bridged) become
// rules to a third upstream, and the paths of entities come before all rules. The
// bridge is told no side, and gets the header by which callers choose theirs; the
// side that it answers with is the one that clients and the log are told.
//
// The package is pure: equal plans give equal bytes. No value of a plan can
// leave the directive in which it stands: every text is quoted, and where
// nginx would expand variables it comes from a geo block, which does not.
package nginx
