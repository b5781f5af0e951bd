package scaffold

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/changeover-dev/changeover/plan"
)

// Tests are a first test file for the plan that Plan writes, whose file has the
// base name planFile. They pass as they are.
func (t Today) Tests(name, planFile string) (string, error) {
	var b strings.Builder
	metric := requests(name, t.Gateway)
	series := func(code string) string { return quoted(metric + fmt.Sprintf(", code=%q}", code)) }
	err := tests.Execute(&b, map[string]string{"File": planFile, "Good": series("200"), "Bad": series("500")})
	if err != nil {
		return "", fmt.Errorf("write the tests: %w", err)
	}
	return b.String(), nil
}

// requests is the beginning of a selector of modern's requests, to which the code
// and the closing brace are added.
func requests(name string, g plan.Gateway) string {
	if g.Bridge == nil {
		return fmt.Sprintf("requests_total{side=%q", plan.Modern)
	}
	return fmt.Sprintf("changeover_bridge_requests_total{plan=%q, side=%q", name, plan.Modern)
}

var tests = template.Must(template.New("tests").Parse(
	`# What the plan must do, by the daemon's own gates and decisions: ` + "`changeover test`" + `.
plan: {{.File}}
evaluation_interval: 1m
tests:
  - name: without errors it bakes, and then goes on
    effective: gradual@10               # where it is when the test begins
    position: gradual@25                # what is declared then
    interval: 1m                        # between samples
    input_series:
      - {series: {{.Good}}, values: '0+600x1500'}
    expect:
      - {at: 23h, decision: Hold Baking, gates: {few-errors: Pass}}
      - {at: 1d, decision: Advance, position: gradual@25}

  - name: many errors take it back
    effective: setup
    position: gradual@10
    interval: 1m
    input_series:
      - {series: {{.Good}}, values: '0+600x180'}
      - {series: {{.Bad}}, values: '0x60 60+60x120'}
    expect:
      - {at: 0m, decision: Advance, position: gradual@10}
      - {at: 1h, gates: {many-errors: Fail}, position: gradual@10}
      - {at: 1h20m, position: setup, declared: setup}

  - name: too few requests prove nothing
    effective: gradual@10
    position: gradual@25
    interval: 1m
    input_series:
      - {series: {{.Good}}, values: '0+6x1560'}
    expect:
      - {at: 1d1h, decision: Hold GateNoData, gates: {few-errors: NoData}, position: gradual@10}
`))
