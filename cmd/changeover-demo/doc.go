// Command changeover-demo plays one migration on this machine, with the real
// daemon and the real bridge as processes and with a Git repository, two
// backends and a Prometheus of its own. It exits 0 only if every step of the
// story was observed.
package main
