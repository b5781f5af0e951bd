//go:build !race

package app

// raceFlag builds the bridge as the test itself was built.
const raceFlag = "-race=false"
