package receivers_test

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover/receivers"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/notify/send"
)

const whole = `receivers:
  - {name: on-call, type: alertmanager, url: "http://127.0.0.1:9093", default: true, severities: [P0, P1]}
  - name: team
    type: slack
    url-file: /etc/changeover/slack
    template: "{{.Severity}} {{.Title}}"
  - {name: audit, type: webhook, url: "https://audit.example.com/in", token-file: /etc/changeover/token}
`

func TestReceiversAreRead(t *testing.T) {
	rs, problems := receivers.Read("notify.yaml", []byte(whole))
	if len(problems) > 0 || len(rs) != 3 {
		t.Fatal(rs, problems)
	}
	if r := rs[0]; r.Kind != send.Alertmanager || !r.Default || len(r.Severities) != 2 {
		t.Errorf("got %+v", r)
	}
	if r := rs[1]; r.URLFile != "/etc/changeover/slack" || r.Template == nil || r.Default {
		t.Errorf("got %+v", r)
	}
}

func TestWhatIsWrongIsToldWithoutSecrets(t *testing.T) {
	for text, tells := range map[string]string{
		"receivers: []": "want 1 to 50",
		"receivers: [{name: a, type: pager, url: 'http://x/T0KEN'}]":                                                `"pager" is no type`,
		"receivers: [{name: a, type: slack, url: 'x/T0KEN'}]":                                                       "want https://HOST/PATH",
		"receivers: [{name: a, type: slack, url: 'https://u:T0KEN@x/'}]":                                            "holds a user or a password",
		"receivers: [{name: a, type: slack}]":                                                                       "needs a url",
		"receivers: [{name: a, type: slack, url: 'http://x/T0KEN', url-file: /f}]":                                  "not both",
		"receivers: [{name: A b, type: slack, url: 'http://x/T0KEN'}]":                                              "no name of a receiver",
		"receivers: [{type: slack, url: 'http://x/T0KEN'}]":                                                         `needs "name"`,
		"receivers: [{name: a, type: slack, url: 'http://x/T0KEN'}, {name: a, type: slack, url: 'http://x/T0KEN'}]": "another receiver has the name",
		"receivers: [{name: a, type: slack, url: 'http://x/T0KEN', severities: [high]}]":                            `"high" is no severity`,
		"receivers: [{name: a, type: slack, url: 'http://x/T0KEN', template: '{{.Nothing}}'}]":                      "Nothing",
		"receivers: [{name: a, type: alertmanager, url: 'http://x/T0KEN', template: '{{.Title}}'}]":                 "templates of its own",
		"receivers: [{name: a, type: slack, url: 'http://x/T0KEN', password: T0KEN}]":                               `no field "password"`,
	} {
		_, problems := receivers.Read("notify.yaml", []byte(text))
		var all strings.Builder
		for _, p := range problems {
			all.WriteString(p.Render())
		}
		if got := all.String(); !strings.Contains(got, tells) || strings.Contains(got, "T0KEN") {
			t.Errorf("%s: want %q without the secret, got\n%s", text, tells, got)
		}
	}
}

func TestAPlanMayNameAReceiverThatTheDaemonLacks(t *testing.T) {
	doc, _ := plan.Decode("p.yaml", []byte("apiVersion: changeover.dev/v1alpha1\nkind: MigrationPlan\nmetadata: {name: shop}\nspec:\n  notifications: [{receiver: team}, {receiver: gone}]\n"))
	rs, _ := receivers.Read("notify.yaml", []byte(whole))
	got := receivers.Check(doc, rs)
	if len(got) != 1 || plan.HasErrors(got) || !strings.Contains(got[0].Render(), `no receiver "gone"`) || !strings.Contains(got[0].Hint, "on-call, team, audit") {
		t.Errorf("got %v", got)
	}
	if got := receivers.Check(doc, nil); len(got) != 2 || !strings.Contains(got[0].Hint, "--notify FILE") {
		t.Errorf("without receivers: %v", got)
	}
}
