// Package arch checks the shape of the repository: who may import whom, that
// the core is pure, and a few rules of style that a linter does not know. The
// rules are in tests; each is also seen failing on a small example.
package arch
