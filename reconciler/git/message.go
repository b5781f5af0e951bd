package git

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// The trailers that are read and written. They count only in the last
// paragraph of a message.
const (
	trailerPlan       = "Changeover-Plan"
	trailerRollbackOf = "Changeover-Rollback-Of"
	trailerFrom       = "Changeover-From"
	trailerTo         = "Changeover-To"
	trailerGate       = "Changeover-Gate"
	trailerEvidence   = "Changeover-Evidence"
	trailerUnhold     = "Changeover-Unhold"
	trailerResume     = "Changeover-Resume"
)

var (
	trailerLine = regexp.MustCompile(`^([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*)$`)
	revertsLine = regexp.MustCompile(`(?m)^This reverts commit ([0-9a-f]{7,40})\b`)
	objectName  = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
)

// message is what is read from a commit's message.
type message struct {
	trailers map[string][]string // by name in lower case
	// reverts is the commit of a "This reverts commit" line, or empty.
	reverts string
}

func parseMessage(text string) message {
	m := message{trailers: map[string][]string{}}
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	if f := revertsLine.FindStringSubmatch(text); f != nil {
		m.reverts = f[1]
	}
	// The first paragraph is the subject; it is never one of trailers.
	i := lastParagraph(text)
	if i <= 0 {
		return m
	}
	var last string
	for line := range strings.SplitSeq(text[i:], "\n") {
		if f := trailerLine.FindStringSubmatch(line); f != nil {
			last = strings.ToLower(f[1])
			m.trailers[last] = append(m.trailers[last], strings.TrimSpace(f[2]))
		} else if folded := strings.TrimSpace(line); last != "" && line != strings.TrimLeft(line, " \t") {
			vs := m.trailers[last]
			vs[len(vs)-1] += " " + folded
		} else {
			last = ""
		}
	}
	return m
}

// lastParagraph is where it begins; 0 where there is only one.
func lastParagraph(text string) int {
	at, pos, blank := 0, 0, false
	for line := range strings.SplitAfterSeq(text, "\n") {
		if strings.TrimSpace(line) == "" {
			blank = true
		} else if blank {
			at, blank = pos, false
		}
		pos += len(line)
	}
	return at
}

func (m message) all(name string) []string { return m.trailers[strings.ToLower(name)] }

// object is the first value of a trailer that is an object's name, maybe
// abbreviated.
func (m message) object(name string) string {
	for _, v := range m.all(name) {
		if v, _, _ := strings.Cut(strings.ToLower(v), " "); objectName.MatchString(v) {
			return v
		}
	}
	return ""
}

// names reports whether one of the values names the plan, as NAMESPACE/NAME, or
// as NAME where the namespace is the default one.
func names(values []string, key plan.Key) bool {
	for _, v := range values {
		ns, name, ok := strings.Cut(v, "/")
		if !ok {
			ns, name = plan.DefaultNamespace, v
		}
		if ns == key.Namespace && name == key.Name {
			return true
		}
	}
	return false
}

// concerns reports whether the trailers that belong to a plan are for this
// one: a message that names no plan is for all.
func (m message) concerns(key plan.Key) bool {
	plans := m.all(trailerPlan)
	return len(plans) == 0 || names(plans, key)
}

// resumes reports whether the message ends a halt of the plan.
func (m message) resumes(key plan.Key) bool { return names(m.all(trailerResume), key) }

// compose writes a message whose last paragraph is the trailers. Values are
// made one line: a reason can hold what a query or a host said.
func compose(subject string, paragraphs []string, trailers [][2]string) string {
	var b strings.Builder
	b.WriteString(subject + "\n")
	for _, p := range paragraphs {
		if p = cleanText(p); p != "" {
			b.WriteString("\n" + p + "\n")
		}
	}
	for i, t := range trailers {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s: %s\n", t[0], oneLine(t[1]))
	}
	return b.String()
}

// cleanText keeps line breaks, and drops other control characters.
func cleanText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.TrimSpace(s)
}
