package git

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

func TestMergeLines(t *testing.T) {
	lines := func(s string) string { return strings.ReplaceAll(s, " ", "\n") }
	for _, c := range []struct{ base, ours, theirs, want string }{
		{"a b c d e ", "a b c d e ", "a X c d e ", "a X c d e "},
		{"a b c d e ", "A b c d e ", "a b c d E ", "A b c d E "},
		{"a b c d e ", "A b c d e ", "A b c d E ", "A b c d E "},
		{"a b c d e ", "a X c d e ", "a X c d e ", "a X c d e "},
		{"a b c d e ", "a b c d e f ", "z a b c d e ", "z a b c d e f "},
		{"a b c d e", "a b c d e", "a b c d e ", "a b c d e "},
		{"", "", "a ", "a "},
		{"a ", "", "a ", ""},
		{"a b c d e ", "a X c d e ", "a Y c d e ", "conflict"},
		{"a b c d e ", "a X c d e ", "a b Y d e ", "conflict"}, // they touch
		{"a b c d e ", "a b x c d e ", "a b y c d e ", "conflict"},
		{"a b c ", "a\r b c ", "a b C ", "a\r b C "},
		{"a b c ", "a\x00 b c ", "a b C ", "conflict"},
		{"a b ", "a b", "a B ", "conflict"},
	} {
		got, ok := mergeLines([]byte(lines(c.base)), []byte(lines(c.ours)), []byte(lines(c.theirs)))
		if !ok {
			got = []byte("conflict")
		}
		if want := lines(c.want); string(got) != want && c.want != string(got) {
			t.Errorf("%q, %q, %q: got %q, want %q", c.base, c.ours, c.theirs, got, want)
		}
	}
}

func FuzzMergeLines(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\n", "a\nb\n"+"b\nc")
	f.Add("\n\n\n", "\n", "x\n\n")
	f.Fuzz(func(t *testing.T, base, ours, theirs string) {
		b, o, th := []byte(base), []byte(ours), []byte(theirs)
		for _, c := range []struct{ base, ours, theirs, want []byte }{{b, b, th, th}, {b, o, b, o}, {b, o, o, o}} {
			if got, ok := mergeLines(c.base, c.ours, c.theirs); ok && !bytes.Equal(got, c.want) {
				t.Errorf("%q, %q, %q: got %q", c.base, c.ours, c.theirs, got)
			}
		}
		one, ok1 := mergeLines(b, o, th)
		two, ok2 := mergeLines(b, th, o)
		if ok1 != ok2 || !bytes.Equal(one, two) {
			t.Errorf("the order of the sides matters: %q and %q", one, two)
		}
	})
}

func FuzzDecodeTree(f *testing.F) {
	f.Add(encodeTree([]entry{{"a", 0o100644, plumbing.ZeroHash}, {"b", 0o40000, plumbing.ZeroHash}}))
	f.Add([]byte("40000 a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decodeTree(b)
		if err != nil {
			return
		}
		again, err := decodeTree(encodeTree(entries))
		if err != nil || len(again) != len(entries) {
			t.Errorf("%q does not survive: %v", b, err)
		}
	})
}
