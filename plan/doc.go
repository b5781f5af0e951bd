// Package plan is the vocabulary of Changeover: the MigrationPlan, its strict
// decoder, its defaults and validation, the itinerary of its stops, and what
// changed between two of its versions.
//
// The package is pure: it reads bytes and returns values and problems. It
// knows no file system, no network and no clock.
package plan
