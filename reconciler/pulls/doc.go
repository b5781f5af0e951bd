// Package pulls keeps the pull requests of the watched branch informed: it sets
// a status on the head of each one that changes a plan, and keeps one comment of
// ours current, which says what the change would do. It also opens the pull
// requests that the daemon wants merged.
//
// It runs beside the reconciliation, which it never slows: whatever is asked of
// it returns at once, and what fails is tried again at the next round. What a
// pull request holds is not trusted; nothing of it is ever run.
package pulls
