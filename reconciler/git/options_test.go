package git

import (
	"strings"
	"testing"
)

func TestOptionsRefuseWhatIsNotSafe(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no URL":           {Options{}, "no URL"},
		"password":         {Options{URL: "https://ada:hunter2@example.com/x.git"}, "holds a password"},
		"plain http":       {Options{URL: "http://example.com/x.git", Auth: Auth{TokenFile: "t"}}, "never sent over plain http"},
		"git protocol":     {Options{URL: "git://example.com/x.git"}, "not supported"},
		"ssh without keys": {Options{URL: "git@example.com:x.git"}, "needs a key file and a known_hosts file"},
		"ssh without host": {Options{URL: "ssh://git@example.com/x.git", Auth: Auth{KeyFile: "k"}}, "needs a key file and a known_hosts file"},
		"branch":           {Options{URL: "/x", Branch: "a..b"}, "not a branch name"},
		"ref":              {Options{URL: "/x", Branch: "refs/heads/main"}, "not a branch name"},
		"author":           {Options{URL: "/x", Author: Author{"A <b>", "c"}}, "angle brackets"},
		"proxy":            {Options{URL: "https://example.com/x.git", Proxy: "proxy:3128"}, "want http://HOST:PORT"},
		"proxy's password": {Options{URL: "https://example.com/x.git", Proxy: "http://ada:hunter2@proxy:3128"}, "HTTPS_PROXY"},
		"proxy for ssh":    {Options{URL: "git@example.com:x.git", Auth: Auth{KeyFile: "k", KnownHostsFile: "h"}, Proxy: "http://proxy:3128"}, "are for https"},
		"no certificates":  {Options{URL: "/x", CAFile: "ca.pem"}, "are for https"},
	} {
		_, err := Open(t.Context(), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is in the error", name)
		}
	}
}

func TestParseAuthor(t *testing.T) {
	for in, want := range map[string]Author{
		"Changeover <changeover@localhost>": {"Changeover", "changeover@localhost"},
		" Dr. Ada, L. (x) <a@b> ":           {"Dr. Ada, L. (x)", "a@b"},
		"Zoë <root>":                        {"Zoë", "root"},
	} {
		if got, err := ParseAuthor(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "Ada", "<a@b>", "Ada <a@b", "Ada <>", "Ada <a> <b>", "A\nB <c>"} {
		if got, err := ParseAuthor(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}
