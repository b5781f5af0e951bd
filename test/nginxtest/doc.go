// Package nginxtest runs a real nginx for tests: on a free port of the
// loopback address, in a folder of its own, with the include folder that
// Changeover writes into.
package nginxtest
