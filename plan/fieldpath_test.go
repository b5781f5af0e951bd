package plan_test

import (
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

func TestFieldPaths(t *testing.T) {
	for s, want := range map[string]string{
		"$": "$", "$.a.b": "$.a.b", "$[*]": "$[*]", "$.*": "$.*", "$.list[*].name": "$.list[*].name", `$["a"]`: "$.a",
		`$["a b"]["\u00e9"]`: `$["a b"].é`, `$["*"]`: `$["*"]`, `$[""].x`: `$[""].x`, `$["]\""]`: `$["]\""]`, "$.a-b_1": "$.a-b_1",
		"status": "status", "body": "body", "header.ETag": "header.ETag",
	} {
		p, _, err := plan.ParseFieldPath(s)
		if err != nil || p.String() != want {
			t.Errorf("%s: %s, %v", s, p, err)
		}
	}
	deep := "$"
	for range 65 {
		deep += ".a"
	}
	for s, want := range map[string]int{
		"": 0, "a": 0, "$a": 1, "$.": 2, "$.a.": 4, "$..a": 2, "$[0]": 2, "$[*": 2, `$["a`: 2, `$["a"`: 5, `$["\x"]`: 2, "$.é b": 3, "header.": 7, "header.a b": 7, "Status": 0, deep: 129,
	} {
		if p, at, err := plan.ParseFieldPath(s); err == nil || at != want {
			t.Errorf("%s: %s, at %d: %v, want an error at %d", s, p, at, err, want)
		}
	}
}

// FuzzFieldPath: what is read is written as the same path.
func FuzzFieldPath(f *testing.F) {
	for _, s := range []string{"$.a[*].*", `$["a\"b"]`, "header.x", "status", "$[", "$\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, at, err := plan.ParseFieldPath(s)
		if err != nil {
			if at < 0 || at > len(s) {
				t.Fatalf("%q: an error at %d", s, at)
			}
			return
		}
		back, _, err := plan.ParseFieldPath(p.String())
		if err != nil || back.String() != p.String() {
			t.Fatalf("%q is written as %q, which is %q, %v", s, p, back, err)
		}
	})
}
