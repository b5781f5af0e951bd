// Package preflight finds out, before a plan moves, whether the cluster offers
// what it needs: versions, kinds, permissions, the Gateway and its features. It
// changes nothing.
package preflight
