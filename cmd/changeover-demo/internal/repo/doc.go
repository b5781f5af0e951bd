// Package repo is the demo's Git host and its one person: a bare repository,
// and Dana's clone of it, from which she commits and pushes.
package repo
