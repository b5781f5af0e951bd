package forge

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Place is where a repository's API is.
type Place struct {
	Kind    Kind
	API     string // base URL, without a slash at its end
	Project string // OWNER/NAME; at GitLab with all groups
}

// hosts whose kind is known.
var hosts = map[string]Kind{"github.com": GitHub, "gitlab.com": GitLab, "gitea.com": Gitea, "codeberg.org": Gitea}

// apiPath is what follows the forge's address.
var apiPath = map[Kind]string{GitHub: "/api/v3", GitLab: "/api/v4", Gitea: "/api/v1"}

// Detect finds out where the API of a repository is: from its URL, and from
// what a person gave, which counts first: the kind, the forge's or the API's
// URL, and the project. Errors say what to give, and never hold the URL, which
// could hold a secret.
func Detect(repo string, kind Kind, base, project string) (Place, error) {
	host, path := split(repo)
	if kind == "" {
		kind = hosts[host]
	}
	if kind == "" {
		return Place{}, errors.New("which kind of forge the repository is on cannot be told from its URL: give --forge github, gitlab or gitea")
	}
	if apiPath[kind] == "" {
		return Place{}, fmt.Errorf("--forge %q: want github, gitlab or gitea", kind)
	}
	p := Place{Kind: kind, Project: strings.Trim(project, "/")}
	if p.Project == "" {
		p.Project = path
	}
	if n := strings.Count(p.Project, "/"); n == 0 || n > 1 && kind != GitLab || !isProject(p.Project) {
		return Place{}, errors.New("the repository's URL does not end with OWNER/NAME: give --forge-project OWNER/NAME")
	}
	switch {
	case base != "":
		u, err := url.Parse(base)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
			return Place{}, errors.New("--forge-url: want https://HOST or the URL of the API, without a user, a query or a fragment")
		}
		p.API = api(kind, strings.TrimRight(base, "/"), u.Host)
	case host == "":
		return Place{}, errors.New("where the forge is cannot be told from the repository's URL: give --forge-url https://HOST")
	default:
		p.API = api(kind, "https://"+host, host)
	}
	return p, nil
}

func api(kind Kind, base, host string) string {
	switch {
	case kind == GitHub && host == "github.com":
		return "https://api.github.com"
	case kind == GitHub && host == "api.github.com", strings.HasSuffix(base, apiPath[kind]):
		return base
	}
	return base + apiPath[kind]
}

// isProject reports whether a project's path can stand in a URL's.
func isProject(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\?#%`, r) }) {
			return false
		}
	}
	return true
}

// split takes host and path out of a repository's URL, without port and user.
// The host is empty for a path on this machine.
func split(repo string) (host, path string) {
	trim := func(p string) string { return strings.TrimSuffix(strings.Trim(p, "/"), ".git") }
	if strings.Contains(repo, "://") {
		u, err := url.Parse(repo)
		if err != nil || u.Scheme == "file" {
			return "", ""
		}
		host = strings.ToLower(u.Hostname())
		if u.Scheme == "ssh" {
			host = strings.TrimPrefix(host, "altssh.")
			if host == "ssh.github.com" {
				host = "github.com"
			}
		} else if u.Port() != "" && u.Port() != "443" {
			host = strings.ToLower(u.Host)
		}
		return host, trim(u.Path)
	}
	at, rest, ok := strings.Cut(repo, ":")
	if !ok || strings.Contains(at, "/") {
		return "", ""
	}
	return strings.ToLower(at[strings.LastIndexByte(at, '@')+1:]), trim(rest)
}
