// Package bench times what users feel, on the real components: run it with
//
//	go test ./test/bench -run '^$' -bench . -benchtime 5x
//
// on a machine that does nothing else. Each iteration is one round, in which what
// is compared takes turns; the figures are medians over the rounds.
package bench
