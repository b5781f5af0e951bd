// Package load sends requests at a steady rate over raw connections, so that no
// HTTP client retries behind a test's back, and accounts for every answer: which
// failed, and which side served which caller.
package load
