// Package components knows the programs and files that a control plane for
// tests is made of: which version, where they are kept, and how they are
// built. Each is pinned by a module of its own beside this package, built once
// into the user's cache, and found there by every later run.
package components
