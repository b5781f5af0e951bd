// Package plantest reads and runs the test files of plans: series in promtool's
// notation, and what gates, decisions and position are expected to be at times.
package plantest
