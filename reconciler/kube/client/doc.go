// Package client is how Changeover speaks to a Kubernetes API server: with an
// explicit rate, a deadline on every call, as the account of a plan where it has
// one, and with errors in words for operators, which never hold the data of a
// Secret.
package client
