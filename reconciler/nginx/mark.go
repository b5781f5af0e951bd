package nginx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	render "github.com/changeover-dev/changeover/render/nginx"
)

// The header of a file is a run of comment lines, one field each: nginx
// refuses to read a comment of more than 4096 bytes, and a mark may hold many
// commits. The sum covers all that follows the header.
const (
	title = "# Written by Changeover: edits are noticed and undone. Change the plan in Git instead.\n"
	field = "# changeover-"
)

// parts are the three files of a plan, by the middle of their names.
var parts = []string{"upstreams", "maps", "locations"}

func fileName(planName, part string) string { return planName + "." + part + ".conf" }

func partOf(f render.Files, part string) []byte {
	switch part {
	case "upstreams":
		return f.Upstreams
	case "maps":
		return f.Maps
	}
	return f.Locations
}

// encode is a file with its header.
func encode(m reconciler.Mark, hash string, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString(title)
	line := func(name string, value any) {
		// No value here can fail to marshal, and JSON has no line breaks.
		text, _ := json.Marshal(value)
		fmt.Fprintf(&b, "%s%s: %s\n", field, name, text)
	}
	line("plan", m.Key)
	line("stop", m.Stop)
	line("since", m.Since.UTC())
	line("revision", m.Revision)
	for _, h := range m.Holds {
		line("hold", h)
	}
	line("hash", hash)
	line("sum", sum(body))
	b.WriteByte('\n')
	b.Write(body)
	return b.Bytes()
}

func sum(body []byte) string {
	s := sha256.Sum256(body)
	return hex.EncodeToString(s[:])
}

// header is what the comment lines of one file say.
type header struct {
	mark reconciler.Mark
	hash string
	// intact: the rest of the file is as it was written.
	intact bool
}

// decode reads a header; ok is false where the file has none of ours.
func decode(src []byte) (h header, ok bool) {
	rest, ok := bytes.CutPrefix(src, []byte(title))
	if !ok {
		return header{}, false
	}
	var want string
	seen := make(map[string]bool)
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			return header{}, false
		}
		rest = after
		if len(line) == 0 {
			break
		}
		name, value, found := strings.Cut(strings.TrimPrefix(string(line), field), ": ")
		if !found {
			return header{}, false
		}
		var err error
		switch name {
		case "plan":
			err = json.Unmarshal([]byte(value), &h.mark.Key)
		case "stop":
			err = json.Unmarshal([]byte(value), &h.mark.Stop)
		case "since":
			err = json.Unmarshal([]byte(value), &h.mark.Since)
		case "revision":
			err = json.Unmarshal([]byte(value), &h.mark.Revision)
		case "hold":
			var r plan.Revision
			err = json.Unmarshal([]byte(value), &r)
			h.mark.Holds = append(h.mark.Holds, r)
		case "hash":
			err = json.Unmarshal([]byte(value), &h.hash)
		case "sum":
			err = json.Unmarshal([]byte(value), &want)
		}
		if err != nil {
			return header{}, false
		}
		seen[name] = true
	}
	for _, name := range []string{"plan", "stop", "since", "revision", "hash", "sum"} {
		if !seen[name] {
			return header{}, false
		}
	}
	h.intact = want == sum(rest)
	return h, true
}

// config is what is written for one plan.
type config struct {
	// mark is nil where nothing is written, or nothing legible.
	mark *reconciler.Mark
	hash string
	// damage says what is wrong with the files; "" where nothing is.
	damage string
}

// is reports whether exactly that render is written, unharmed.
func (c config) is(f render.Files) bool {
	return c.mark != nil && c.damage == "" && c.hash == f.Hash
}

func sameMark(a *reconciler.Mark, b reconciler.Mark) bool {
	return a != nil && a.Key == b.Key && a.Stop == b.Stop && a.Since.Equal(b.Since) &&
		a.Revision == b.Revision && slices.Equal(a.Holds, b.Holds)
}
