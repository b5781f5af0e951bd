package story

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// who speaks in a line of the transcript.
type who string

const (
	dana    who = "dana"
	daemon  who = "daemon"
	client  who = "client"
	metrics who = "metrics"
	modern  who = "modern"
	host    who = "git"
	setting who = "demo"
)

var colours = map[who]string{dana: "36", daemon: "33", client: "32", metrics: "35", modern: "31", host: "34", setting: "2"}

// narrator writes the transcript.
type narrator struct {
	out    io.Writer
	colour bool
	start  time.Time
	tries  bool // say what to try
}

// chapter begins a part of the story.
func (n *narrator) chapter(number int, title string) {
	fmt.Fprintf(n.out, "\n%s\n", n.paint("1", fmt.Sprintf("%d. %s", number, title)))
}

// say writes one line, with the time since the start.
func (n *narrator) say(w who, format string, args ...any) {
	stamp := fmt.Sprintf("%5.1fs", time.Since(n.start).Seconds())
	fmt.Fprintf(n.out, "%s  %s  %s\n", n.paint("2", stamp), n.paint(colours[w], fmt.Sprintf("%-7s", w)), fmt.Sprintf(format, args...))
}

// quote writes lines that are shown as they are.
func (n *narrator) quote(lines ...string) {
	for _, line := range lines {
		code := "2"
		switch {
		case strings.HasPrefix(line, "+"):
			code = "32"
		case strings.HasPrefix(line, "-"):
			code = "31"
		}
		fmt.Fprintf(n.out, "                 %s\n", n.paint(code, line))
	}
}

// try names commands to look for oneself; the demo must stay up for them.
func (n *narrator) try(commands ...string) {
	if !n.tries {
		return
	}
	for _, c := range commands {
		fmt.Fprintf(n.out, "           %s %s\n", n.paint("1", "try:"), c)
	}
}

func (n *narrator) paint(code, s string) string {
	if !n.colour || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
