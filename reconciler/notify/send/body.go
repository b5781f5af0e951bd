package send

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
)

// DefaultText is the template of those that have none.
const DefaultText = `{{if .Severity}}[{{.Severity}}] {{end}}{{.Title}}
{{- with .Message}}
{{.}}{{end}}
{{- if .Values}}
{{range $name, $v := .Values}}{{$name}} = {{printf "%.4g" $v}}  {{end}}{{end}}
{{- range .Commits}}
commit {{.}}{{end}}`

var defaultTemplate = template.Must(template.New("default").Parse(DefaultText))

// maxText bounds what a template writes, in bytes.
const maxText = 8 << 10

// ParseTemplate reads a template of a notice, and tries it. It has the fields of
// notice.Notice and the functions of text/template.
func ParseTemplate(text string) (*template.Template, error) {
	t, err := template.New("template").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	sample := notice.Notice{
		ID: "0", Kind: notice.Decided, Key: plan.Key{Namespace: "default", Name: "shop"}, Severity: plan.P1, Title: "title", Message: "message",
		Verb: "Rollback", Reason: "Breach", Commits: []plan.Revision{"0123456789"}, Gates: []string{"gate"}, Values: map[string]float64{"signal": 1},
	}
	if err := t.Execute(&bounded{left: maxText}, sample); err != nil {
		return nil, err
	}
	return t, nil
}

// bounded keeps the first bytes of what is written, and ends the writer then.
type bounded struct {
	b    strings.Builder
	left int
}

var errFull = fmt.Errorf("the text is longer than %d bytes", maxText)

func (w *bounded) Write(p []byte) (int, error) {
	if len(p) > w.left {
		w.b.Write(p[:w.left])
		w.left = 0
		return 0, errFull
	}
	w.left -= len(p)
	return w.b.Write(p)
}

var _ io.Writer = (*bounded)(nil)

// text of a notice; a template that fails gives as much as it wrote, or the title.
func (r Receiver) text(n notice.Notice) string {
	t := r.Template
	if t == nil {
		t = defaultTemplate
	}
	if r.Kind == Slack {
		n.Title, n.Message = escape(n.Title), escape(n.Message)
	}
	w := &bounded{left: maxText}
	if err := t.Execute(w, n); err != nil && w.b.Len() == 0 {
		return n.Title
	}
	return strings.ToValidUTF8(w.b.String(), "")
}

// escape keeps text from meaning something to Slack, such as <!channel>. What a
// plan says reaches it, and so what anybody says who may write one.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// body of a notice for Slack or a webhook, and its type.
func (r Receiver) body(n notice.Notice) (contentType string, body []byte, err error) {
	if r.Kind == Slack {
		body, err = json.Marshal(map[string]string{"text": r.text(n)})
		return "application/json", body, err
	}
	body, err = json.Marshal(cloudEvent(n, r.text(n)))
	return "application/cloudevents+json", body, err
}

// event is a CloudEvent 1.0 in JSON.
type event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            eventData `json:"data"`
}

type eventData struct {
	Namespace string             `json:"namespace"`
	Plan      string             `json:"plan"`
	Severity  plan.Urgency       `json:"severity"`
	Title     string             `json:"title"`
	Message   string             `json:"message"`
	Text      string             `json:"text"`
	Verb      string             `json:"verb,omitempty"`
	Reason    string             `json:"reason,omitempty"`
	From      string             `json:"from,omitempty"`
	To        string             `json:"to,omitempty"`
	Commits   []plan.Revision    `json:"commits,omitempty"`
	Gates     []string           `json:"gates,omitempty"`
	Values    map[string]float64 `json:"values,omitempty"`
}

func cloudEvent(n notice.Notice, text string) event {
	source := "/changeover"
	if n.Source != "" {
		source += "/" + n.Source
	}
	e := event{
		SpecVersion: "1.0", ID: n.ID, Source: source, Type: "dev.changeover." + strings.ToLower(string(n.Kind)) + ".v1", Subject: n.Key.String(),
		Time: n.At.UTC(), DataContentType: "application/json",
		Data: eventData{
			Namespace: n.Key.Namespace, Plan: n.Key.Name, Severity: n.Severity, Title: n.Title, Message: n.Message, Text: text,
			Verb: string(n.Verb), Reason: n.Reason, Commits: n.Commits, Gates: n.Gates, Values: finite(n.Values),
		},
	}
	if !n.From.IsZero() {
		e.Data.From = n.From.String()
	}
	if !n.To.IsZero() {
		e.Data.To = n.To.String()
	}
	return e
}

// finite leaves out what JSON has no number for.
func finite(values map[string]float64) map[string]float64 {
	out := make(map[string]float64, len(values))
	for name, v := range values {
		if v-v == 0 {
			out[name] = v
		}
	}
	return out
}
