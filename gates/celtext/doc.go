// Package celtext says what is wrong in a CEL expression in words for those who
// do not know CEL's grammar: what was found, where, and what to write. Gates and
// translations are read with it.
package celtext
