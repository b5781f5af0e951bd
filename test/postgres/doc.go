// Package postgres runs a real PostgreSQL for tests: a throw-away cluster in a
// temporary folder, on a free port of the loopback address.
package postgres
