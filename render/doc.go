// Package render turns a plan and a stop into ordered, canonical routing
// rules. It is the neutral half of every data plane: the sub-packages write
// the same rules down for one target each.
//
// # What a route's path is matched against
//
// Every gateway matches the path as nginx reads it, in one form: escapes are
// undone, once, and %2F is a slash; then runs of slashes are one, and the
// segments `.` and `..` are resolved. The query does not count, and case does.
// So no spelling of a path that servers commonly take for another slips past
// that path's rule. The backend gets the path as the client wrote it.
//
// Where that form and what a backend may read differ such that one rule's path
// could pass as another's, the gateways refuse the request with 400: a path
// with both %2F and a segment `..` (/old/x%2F..%2F..%2Fnew is /new for one
// server and lies below /old/ for another), one with a ; (behind which a Tomcat
// reads parameters, so that /old/..;/new is /new for it; %3B is refused behind dots
// alone), one that leads above the root, a NUL, a `#` as it is, and a method that is not in upper-case letters, - and _.
// TRACE and CONNECT get 405.
//
// A pathRegex reads the path as UTF-8. A path that is none has one character,
// U+0000 to U+00FF, for each byte.
//
// The value of a header counts without blanks around it. Of one that is sent
// more than once the first counts; nginx joins them all by commas from 1.23 on,
// and Cookie and X-Forwarded-For always.
//
// The package is pure: no clock, no network, no file system, no map order.
package render
