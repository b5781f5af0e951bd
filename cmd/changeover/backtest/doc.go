// Package backtest evaluates the gates of a plan over a time that has passed,
// by the code that evaluates them in the daemon, and reports when their
// verdicts changed: as data for tables and JSON, and as a chart.
package backtest
