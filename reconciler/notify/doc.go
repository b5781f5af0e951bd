// Package notify tells people what the daemon did and when one of them is
// needed.
package notify
