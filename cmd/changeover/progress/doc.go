// Package progress shows how far long work is: a bar that is drawn over itself
// on a terminal, and plain lines, seldom, where the output goes elsewhere.
package progress
