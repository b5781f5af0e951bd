// Package prom embeds a Prometheus: its storage, scraper, query engine and HTTP
// API, on a loopback port. Whoever asks it over HTTP cannot tell it from the
// Prometheus binary.
package prom
