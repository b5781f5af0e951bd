package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/changeover-dev/changeover/plan"
)

// Today is what serves the traffic now.
type Today struct {
	From      string // for people; empty: nothing was read
	Namespace string
	Gateway   plan.Gateway
	Legacy    plan.Backend
	// Notes are what a person should know before the plan is used.
	Notes []string
}

func (t *Today) note(s string) {
	if !slices.Contains(t.Notes, s) {
		t.Notes = append(t.Notes, s)
	}
}

// paths notes that what is there takes some paths only.
func (t *Today) paths(paths []string) {
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) > 0 {
		t.note("It takes these paths only: " + strings.Join(paths, ", ") + ". The plan's routes take all: give the others a route `to: legacy` where they come here too.")
	}
}

// Plan writes a plan of that name in three phases, with modern as the other side.
// It decodes without errors, or the error says why it would not.
func (t Today) Plan(name string, modern plan.Backend) (string, error) {
	var b bytes.Buffer
	if err := text.Execute(&b, map[string]any{"Name": name, "T": t, "Modern": modern, "Signals": signals(name, t.Gateway)}); err != nil {
		return "", fmt.Errorf("write the plan: %w", err)
	}
	_, problems := plan.Decode(name+".yaml", b.Bytes())
	if plan.HasErrors(problems) {
		plan.Sort(problems)
		return "", fmt.Errorf("what was given makes no plan: %s", strings.TrimSpace(problems[0].Render()))
	}
	return b.String(), nil
}

// signals are the queries of the error rate and of its number of samples, by what
// counts requests at a gateway.
func signals(name string, g plan.Gateway) map[string]string {
	metric := requests(name, g)
	return map[string]string{
		"Errors": fmt.Sprintf(`(sum(rate(%s, code=~"5.."}[5m])) or vector(0)) / sum(rate(%s}[5m]))`, metric, metric),
		"Count":  fmt.Sprintf(`sum(increase(%s}[5m]))`, metric),
	}
}

var (
	fieldName = regexp.MustCompile(`"([a-zA-Z]+)":`)
	nextField = regexp.MustCompile(`([]}"0-9]),([a-zA-Z"{])`)
)

// flow writes a value as people write YAML on one line.
func flow(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	out := fieldName.ReplaceAllString(strings.TrimSpace(b.String()), "$1: ")
	return nextField.ReplaceAllString(out, "$1, $2"), nil
}

// quoted writes a text as YAML that leaves its double quotes alone.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

var text = template.Must(template.New("plan").Funcs(template.FuncMap{"flow": flow, "quoted": quoted}).Parse(
	`# yaml-language-server: $schema=https://raw.githubusercontent.com/changeover-dev/changeover/main/schemas/migrationplan.schema.json
{{- if .T.From}}
# Made from {{.T.From}}.
{{- end}}
{{- range .T.Notes}}
# - {{.}}
{{- end}}
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: {{.Name}}{{with .T.Namespace}}, namespace: {{.}}{{end}}}
spec:
  position: {phase: setup}              # a promotion changes this and nothing else

  backends:
    legacy: {{flow .T.Legacy}}
    modern: {{flow .Modern}}
  gateway: {{flow .T.Gateway}}
{{- if not .T.Gateway.GatewayAPI}}
  identity: {header: X-User-ID}         # what keeps a caller on one side: header, cookie, query or clientIP
{{- end}}

  signals:
    errorRate:
{{- if not .T.Gateway.Bridge}}
      # Put the metric of your gateway here: what counts requests by side and code.
{{- end}}
      query: {{quoted .Signals.Errors}}
      samples: {query: {{quoted .Signals.Count}}, min: 400}   # with fewer the gates do not know
      maxAge: 2m

  phases:
    - name: setup                       # everything as it is today
      routes: [{to: legacy}]

    - name: gradual
      percents: [10, 25, 50, 100]
      bake: 1d                          # the least time at each of them
      routes: [{to: split}]             # by the percent of the position
      gates:
        advance: [{name: few-errors, expr: signal.errorRate < 0.01, for: 1h}]
        pause: [{name: more-errors, expr: signal.errorRate >= 0.01}]
        rollback: [{name: many-errors, expr: signal.errorRate > 0.03, for: 5m, message: modern fails too often}]

    # changeover:ignore no-rollback-gate legacy may be taken down by then
    - name: sunset
      manual: true                      # entered only when the position names it
      routes: [{to: modern}]
`))
