// Package receivers reads the file of those whom the daemon notifies.
package receivers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/changeover-dev/changeover/cmd/changeover/strictyaml"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/notify/send"
)

// maxReceivers of a daemon.
const maxReceivers = 50

// name is that of a metric's label, and what plans write.
var name = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

var kinds = []string{string(send.Alertmanager), string(send.Slack), string(send.Webhook)}

// Read returns the receivers of a file, and all that is wrong in it. No problem
// repeats a line with a URL, as that may hold a token.
func Read(file string, src []byte) ([]send.Receiver, []plan.Problem) {
	r := &reader{}
	var root *yaml.Node
	if r.File, root = strictyaml.Read(file, "receivers", src); root != nil {
		r.Fields(root, "the file", map[string]func(key, value *yaml.Node){
			"receivers": func(_, list *yaml.Node) {
				r.List(list, r.receiver)
				if n := len(list.Content); n == 0 || n > maxReceivers {
					r.Add(list, "list-length", fmt.Sprintf("%d receivers: want 1 to %d", n, maxReceivers), "")
				}
			},
		}, "receivers")
	}
	problems := r.Problems()
	for i := range problems {
		if strings.Contains(problems[i].Source, "/") {
			problems[i].Source = ""
		}
	}
	return r.found, problems
}

type reader struct {
	*strictyaml.File
	found []send.Receiver
}

func (r *reader) receiver(n *yaml.Node) {
	var got send.Receiver
	text := func(to *string) func(_, v *yaml.Node) {
		return func(_, v *yaml.Node) { *to = r.Text(v) }
	}
	r.Fields(n, "a receiver", map[string]func(key, value *yaml.Node){
		"name": func(_, v *yaml.Node) { got.Name = r.nameOf(v) },
		"type": func(_, v *yaml.Node) {
			if got.Kind = send.Kind(r.Text(v)); !slices.Contains(kinds, string(got.Kind)) {
				r.Add(v, "unknown-value", fmt.Sprintf("%q is no type of a receiver", got.Kind), "write one of "+strings.Join(kinds, ", "))
			}
		},
		"url": func(_, v *yaml.Node) {
			got.URL = r.Text(v)
			if err := send.CheckURL(got.URL); err != nil {
				r.Add(v, "bad-value", err.Error(), "")
			}
		},
		"url-file":   text(&got.URLFile),
		"token-file": text(&got.TokenFile),
		"default":    func(_, v *yaml.Node) { got.Default = r.Bool(v) },
		"severities": func(_, v *yaml.Node) {
			r.List(v, func(n *yaml.Node) { got.Severities = append(got.Severities, r.urgency(n)) })
		},
		"template": func(_, v *yaml.Node) {
			t, err := send.ParseTemplate(r.Text(v))
			if err != nil {
				r.Add(v, "bad-template", err.Error(), "it is a text/template of Go with the fields of a notice, such as {{.Severity}} {{.Title}} {{.Message}}")
			}
			if got.Template = t; got.Kind == send.Alertmanager {
				r.Add(v, "bad-template", "an Alertmanager has templates of its own", "remove it")
			}
		},
	}, "name", "type")
	if (got.URL == "") == (got.URLFile == "") {
		r.Add(n, "url", "a receiver needs a url, or a url-file that holds it, and not both", "keep a URL that is a secret, as Slack's are, in a url-file")
	}
	r.found = append(r.found, got)
}

func (r *reader) nameOf(v *yaml.Node) string {
	s := r.Text(v)
	switch {
	case s == "":
	case !name.MatchString(s):
		r.Add(v, "bad-name", fmt.Sprintf("%q is no name of a receiver", s), "want lower case letters, digits and -, at most 63")
	case slices.ContainsFunc(r.found, func(o send.Receiver) bool { return o.Name == s }):
		r.Add(v, "duplicate-name", fmt.Sprintf("another receiver has the name %q", s), "")
	}
	return s
}

func (r *reader) urgency(n *yaml.Node) plan.Urgency {
	u := plan.Urgency(r.Text(n))
	if !slices.Contains([]plan.Urgency{plan.P0, plan.P1, plan.P2, plan.P3}, u) {
		r.Add(n, "unknown-value", fmt.Sprintf("%q is no severity", u), "write P0, P1, P2 or P3")
	}
	return u
}

// Check warns of receivers that a plan names and the daemon does not have. It is a
// warning, as nothing about the migration is wrong.
func Check(doc *plan.Document, have []send.Receiver) (out []plan.Problem) {
	names := make([]string, 0, len(have))
	for _, r := range have {
		names = append(names, r.Name)
	}
	hint := "it has none: start it with --notify FILE"
	if len(names) > 0 {
		hint = "it has " + strings.Join(names, ", ")
	}
	for i, n := range doc.Plan.Spec.Notifications {
		if n.Receiver == "" || slices.Contains(names, n.Receiver) {
			continue
		}
		p := doc.Problem(fmt.Sprintf("spec.notifications[%d].receiver", i), 0, "unknown-receiver",
			fmt.Sprintf("the daemon has no receiver %q, so nobody is told there", n.Receiver), hint)
		p.Severity = plan.SeverityWarning
		out = append(out, p)
	}
	return out
}
