package signature

import (
	"bytes"
	"errors"
)

// header of the signature in a commit.
const header = "gpgsig "

// Split takes a commit object apart into what is signed and the signature; the
// signature is empty where there is none. A commit with two signatures is an
// error: Git and others differ in which one counts.
func Split(raw []byte) (payload, sig []byte, err error) {
	rest, inside := raw, false
	for len(rest) > 0 && rest[0] != '\n' {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line = rest[:end+1]
		}
		rest = rest[len(line):]
		switch {
		case inside && line[0] == ' ':
			sig = append(sig, line[1:]...)
			continue
		case bytes.HasPrefix(line, []byte(header)):
			if sig != nil {
				return nil, nil, errors.New("the commit has more than one signature")
			}
			inside, sig = true, append([]byte{}, line[len(header):]...)
			continue
		}
		inside = false
		payload = append(payload, line...)
	}
	return append(payload, rest...), sig, nil
}

// Join is a commit object with a signature of it, as Git writes it: as the last
// header.
func Join(payload, sig []byte) []byte {
	head, body, _ := bytes.Cut(payload, []byte("\n\n"))
	out := append(bytes.Clone(head), '\n')
	out = append(out, header...)
	out = append(out, bytes.ReplaceAll(bytes.TrimRight(sig, "\n"), []byte("\n"), []byte("\n "))...)
	out = append(out, "\n\n"...)
	return append(out, body...)
}
