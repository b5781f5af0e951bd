// Package prom samples the signals of gates from a Prometheus: it asks each
// query once, bounded in time and size, and says for every point whether it is
// known, and if not, why.
package prom
