// Package script holds the end-to-end tests of the built binary: each file of
// testdata is a script of commands and what they print (testscript, txtar).
package script
