package lint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates/lint"
	"github.com/changeover-dev/changeover/plan"
)

const compared = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders}
spec:
  position: {phase: validation}
  backends: {legacy: {url: "http://127.0.0.1:1"}, modern: {url: "http://127.0.0.1:2"}}
  gateway: {bridge: {}}
  phases:
    - name: validation
      routes:
        - to: legacy
          mirror:
            compare:
              rules:
                - {path: $.updatedAt, ignore: true, owner: team-so, expires: 2027-01-31}
                - {path: $.id, ids: true}
`

func TestARuleThatExpiresIsToldInTime(t *testing.T) {
	day := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		now  time.Time
		want string
	}{
		{time.Time{}, ""},
		{day("2027-01-01T23:59:59Z"), ""},
		{day("2027-01-02T00:00:00Z"), "applies until the end of 2027-01-31"},
		{day("2027-01-31T23:59:59Z"), "applies until the end of 2027-01-31"},
		{day("2027-02-01T00:00:00Z"), "has expired on 2027-01-31"},
	} {
		doc, problems := plan.Decode("f", []byte(compared))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		got := lint.CheckAt(doc, nil, c.now)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("at %s: %v", c.now, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Message, c.want) || got[0].Line != 15 || !strings.HasPrefix(got[0].Hint, "team-so answers")):
			t.Errorf("at %s: %v", c.now, got)
		}
	}
	// Where the time is not known, nobody looked for what the comment ignores.
	ignored := strings.Replace(compared, "2027-01-31}", "2027-01-31} # changeover:ignore rule-expires it is known", 1)
	doc, _ := plan.Decode("f", []byte(ignored))
	for _, now := range []time.Time{{}, day("2027-03-01T00:00:00Z")} {
		if got := lint.CheckAt(doc, nil, now); len(got) != 0 {
			t.Errorf("at %s: %v", now, got)
		}
	}
	if got := lint.CheckAt(doc, nil, day("2026-03-01T00:00:00Z")); len(got) != 1 || got[0].Code != lint.UnusedIgnore {
		t.Errorf("an ignore of nothing: %v", got)
	}
}
