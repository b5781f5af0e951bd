// Package gatewaytest has a Gateway API controller for tests: a declared
// fixture, with a real data plane on the loopback address.
//
// # What it is
//
// It watches a real API server. It accepts the GatewayClass that it is told of,
// opens a listener for each Gateway of that class, judges each HTTPRoute that
// names one, and only when the listener serves a route it writes Accepted and
// ResolvedRefs with the generation, for each parent of its own. Requests are
// real ones and go to real backends: precedence of matches as the Gateway API
// has it, hostnames, weights drawn at random for each request, mirrors with
// percent or fraction, rewritten paths, hosts and headers, ReferenceGrants.
// What it does not know in a route it refuses with UnsupportedValue; it ignores
// nothing in silence.
//
// # What it is not
//
// It is no implementation of the Gateway API, and nothing but a test may use
// it: no TLS, no HTTP/2 towards clients, no redirects, timeouts, retries,
// sessions or regular expressions, and one port for all listeners of a
// Gateway, whatever port they declare. A route is refused as a whole where a
// real one may serve the rules that are good. What is shown with it is shown of
// Changeover's side of the API: that real implementations read an HTTPRoute
// alike is their conformance suite's to show.
//
// # Backends
//
// The pods of a test cluster do not run, so that a Service has no address. Its
// backend is named by the Service's annotation "fixture.changeover.dev/url" or
// by Options.Backends, which goes before. A Service without either answers 503,
// as one without endpoints. The annotation "fixture.changeover.dev/side" says
// what counters call it; the Service's name where it is absent.
//
// # Faults
//
// Pause stops the controller and leaves the data plane as it is. SetAcceptDelay
// makes it slow. Reject refuses every route. For a route whose parents are not
// of one mind, start two fixtures with ClassNames and ControllerNames of their
// own, one of them slow, and let the route name a Gateway of each.
package gatewaytest
