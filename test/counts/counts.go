// Package counts says how much of a test is done: all of it where the full
// counts are asked for, as make accept does, and a part in every other run.
package counts

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Full reports whether the full counts are asked for.
func Full() bool { return os.Getenv("CHANGEOVER_ACCEPT") != "" }

// Of is full where the full counts are asked for, and else few.
func Of[T any](full, few T) T {
	if Full() {
		return full
	}
	return few
}

// Rapid makes rapid check as many cases as Of says, until the test ends. A
// count given by hand with -rapid.checks stays. Not for tests that are
// parallel: the count is of the whole process.
func Rapid(t testing.TB, full, few int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil {
		t.Fatal("counts.Rapid is of tests that use rapid")
	}
	old := f.Value.String()
	if old != f.DefValue {
		return
	}
	if err := f.Value.Set(fmt.Sprint(Of(full, few))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(old) })
}
