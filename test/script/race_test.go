//go:build race

package script

// underRace: the binary is built as the tests are.
const underRace = true
