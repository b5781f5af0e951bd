// Package e2e runs the built binaries against a real bare Git repository, a
// real nginx under load, the real bridge and a real Prometheus: txtar scripts
// for the stories, Go for what needs figures.
package e2e
