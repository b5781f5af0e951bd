// Package gatewayapi renders one stop of a plan into one HTTPRoute of the
// Kubernetes Gateway API, by which any implementation of it routes alike.
//
// # First match into precedence
//
// Of a plan's routes the first that matches wins. Of an HTTPRoute's matches the
// most specific one does, wherever it stands: an exact path, then the longest
// prefix, then a method, then the most headers; only between equals the first.
// So a route that is to win over a more specific later one gets, beside its own
// matches, one for what both take. The later route's matches stay, and matches
// without effect are left out. An HTTPRoute takes 16 rules, 64 matches a rule
// and 128 in all; a plan that needs more is refused.
//
// # Paths
//
// A pathPrefix of a plan is text: /a takes /a, /a/b and /ab. An HTTPRoute's is
// made of whole segments: /a takes /a, /a/ and /a/b. The two agree on prefixes
// that end in a slash but for one path, /a itself, which /a/ does not take: that
// path gets exact matches that lead where the plan's later routes do. Other
// prefixes are refused, and so are paths that would have to be written with
// escapes, as implementations differ on whether they undo them.
//
// # Filters
//
// A mirror copies safe methods alone unless the plan says why others may be: the
// route becomes two rules. Whole percents are percents and others fractions of
// 10,000; 100 % has neither, which every implementation that mirrors can do.
// Headers are set first, then the host and path are rewritten, then the request
// is copied, and implementations should keep that order: the copy is then the
// rewritten request. A split names both sides with their weights, at 0 and 100
// too. There is never a session persistence, which would hold callers at a side
// whose weight is 0.
//
// Everything is spelled out that the API server would fill in, so that applying
// the same render again changes nothing.
//
// # With a bridge
//
// A bridge behind the Gateway has all rules of the plan, and gets what only it can
// do, as plan.Gateway.Bridged says. The rules that stay go to their side past it.
// Where the rules cannot be said in an HTTPRoute at all, or requests name
// entities, everything goes to the bridge.
//
// # What is left to the implementation
//
// Package render says which path the routes are matched against. Whether an
// implementation undoes escapes (%2F among them), merges slashes and resolves
// dot segments first, whether it refuses ambiguous paths as nginx and the bridge
// do, what it answers to TRACE and CONNECT, how it reads a header that is sent
// more than once or has blanks around its value, how it draws by weights, and its
// timeouts and retries are its own: read its documentation. Weights are drawn for
// every request, so that no caller stays on a side.
//
// Matches of other HTTPRoutes for the same hostname compete with the plan's: give
// the plan hostnames of its own. A Service in another namespace than the
// HTTPRoute's needs a ReferenceGrant there, and without one the HTTPRoute's
// condition ResolvedRefs is False.
//
// The package is pure: equal plans give equal objects.
package gatewayapi
