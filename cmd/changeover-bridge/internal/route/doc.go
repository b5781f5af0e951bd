// Package route chooses, for one request, the rule that governs it and the
// side that it goes to. It holds no connection and no state: a Table is
// compiled from a config once and read by all requests.
package route
