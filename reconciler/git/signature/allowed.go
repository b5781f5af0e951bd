package signature

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// namespace of signatures that Git makes.
const namespace = "git"

// allowed is a line of an allowed signers file.
type allowed struct {
	principals string
	key        ssh.PublicKey
	namespaces []string // patterns; none: all
	// after and before bound when the key holds; zero: without bound.
	after, before time.Time
}

// parseAllowed reads the form of ssh-keygen's allowed signers. Errors name file
// and line.
func parseAllowed(name string, data []byte) ([]allowed, error) {
	var out []allowed
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		a, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		out = append(out, a)
	}
	return out, nil
}

func parseLine(line string) (allowed, error) {
	var a allowed
	principals, rest, err := firstWord(line)
	if err != nil {
		return a, err
	}
	if strings.HasPrefix(principals, "ssh-") || strings.HasPrefix(principals, "ecdsa-") || strings.HasPrefix(principals, "sk-") {
		return a, fmt.Errorf("the line begins with the key; write first whose it is, as in `ada@example.com %s AAAA...`", oneLine(principals))
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return a, errors.New("it is no key: want `PRINCIPALS [OPTIONS] TYPE BASE64`, as in `ada@example.com ssh-ed25519 AAAA...`")
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return a, errors.New("it is a certificate; give the key itself: certificates are not supported")
	}
	a.principals, a.key = oneLine(principals), key
	for _, o := range options {
		if err := a.option(o); err != nil {
			return a, err
		}
	}
	return a, nil
}

// firstWord cuts off the principals, which may be quoted.
func firstWord(line string) (word, rest string, err error) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		if word, rest, ok = strings.Cut(quoted, `"`); !ok {
			return "", "", errors.New("a quote is not closed")
		}
	} else if i := strings.IndexAny(line, " \t"); i >= 0 {
		word, rest = line[:i], line[i:]
	} else {
		word = line
	}
	if word == "" {
		return "", "", errors.New("it does not say whose key it is")
	}
	return word, strings.TrimSpace(rest), nil
}

// option takes in one option; an unknown one is an error, as it may be there to
// restrict the key.
func (a *allowed) option(o string) (err error) {
	name, value, _ := strings.Cut(o, "=")
	if value != "" {
		if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
			return fmt.Errorf("the value of option %q is not quoted", oneLine(name))
		}
		value = value[1 : len(value)-1]
	}
	switch strings.ToLower(name) {
	case "namespaces":
		if value == "" {
			return errors.New("option namespaces names none")
		}
		for _, p := range strings.Split(value, ",") {
			if _, err := path.Match(p, namespace); err != nil || strings.ContainsAny(p, `![]\`) {
				return fmt.Errorf("option namespaces: pattern %q is not supported: write a name, with * and ? where needed", oneLine(p))
			}
			a.namespaces = append(a.namespaces, p)
		}
	case "valid-after":
		a.after, err = parseTime(value)
	case "valid-before":
		a.before, err = parseTime(value)
	case "cert-authority":
		return errors.New("option cert-authority is not supported: list the keys themselves")
	default:
		return fmt.Errorf("option %q is not known: use namespaces, valid-after and valid-before", oneLine(name))
	}
	return err
}

// parseTime reads ssh-keygen's form of a time: local time, or UTC with a Z.
func parseTime(s string) (time.Time, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	where := time.Local
	if utc {
		where = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.ParseInLocation(layout, digits, where); err == nil && len(digits) == len(layout) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q cannot be read: want YYYYMMDD[HHMM[SS]][Z]", oneLine(s))
}

// isFor reports whether the key may sign commits.
func (a *allowed) isFor(ns string) bool {
	for _, p := range a.namespaces {
		if ok, _ := path.Match(p, ns); ok {
			return true
		}
	}
	return len(a.namespaces) == 0
}

// holds says why the key does not hold at a time; empty where it does.
func (a *allowed) holds(t time.Time) string {
	switch {
	case !a.after.IsZero() && t.Before(a.after):
		return "it is valid after " + a.after.UTC().Format(time.RFC3339)
	case !a.before.IsZero() && !t.Before(a.before):
		return "it was valid before " + a.before.UTC().Format(time.RFC3339)
	}
	return ""
}
