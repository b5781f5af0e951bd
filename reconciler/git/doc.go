// Package git is the watched branch: it implements reconciler.Source on a bare
// store of the branch's full history.
//
// Reading works on tree objects; there is no worktree and no index. Methods
// that take a revision never touch the network. A revert is built as tree
// surgery in memory, from the same inputs always as the same commit, and
// pushed with compare-and-swap: the branch moves from the head that the revert
// was built on to the revert, or not at all.
//
// Local paths and file:// need the git binary; https and ssh do not.
package git
