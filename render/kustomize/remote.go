package kustomize

import (
	"net/url"
	"regexp"
	"strings"
)

// schemes are those of URLs that kustomize, git or go-getter know.
var schemes = []string{"http", "https", "ssh", "git", "git+ssh", "git+https", "file", "ftp", "ftps", "s3", "gs", "gcs", "hg", "oci", "data"}

// user is what stands before the host in the short form of ssh addresses.
var user = regexp.MustCompile(`^[^/]*@`)

// remote reports whether a reference is, or could be taken for, one to another
// machine or repository. It says yes to more than kustomize would fetch: what it
// says no to must still be a path that is there.
func remote(ref string) bool {
	lower := strings.ToLower(strings.TrimSpace(ref))
	if strings.Contains(lower, "://") || strings.Contains(lower, "::") || strings.Contains(lower, "?") || user.MatchString(lower) {
		return true
	}
	for _, s := range schemes {
		if strings.HasPrefix(lower, s+":") {
			return true
		}
	}
	if u, err := url.Parse(lower); err == nil && u.Host != "" {
		return true
	}
	// kustomize takes this host alone without a scheme.
	return strings.HasPrefix(lower, "github.com/") || strings.HasPrefix(lower, "github.com:")
}

// host is a first part of a path that looks like the name of a machine.
var host = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+[:/][^/]+/.`)

// resemblesRemote reports whether a path that is not there was probably meant
// for another repository.
func resemblesRemote(ref string) bool {
	return host.MatchString(ref) || strings.Contains(ref, "//") || strings.Contains(ref, ".git/") ||
		strings.HasSuffix(ref, ".git") || strings.Contains(ref, "_git/")
}

// maxQuoted is how much of a reference is repeated, in bytes.
const maxQuoted = 200

// shown is a reference for messages. Passwords and tokens stand before the host
// and in the query: neither is repeated.
func shown(ref string) string {
	ref, _, query := strings.Cut(ref, "?")
	if at := strings.LastIndex(ref, "@"); at >= 0 {
		before, scheme := ref[:at], ""
		if i := strings.Index(before, "://"); i >= 0 {
			scheme, before = before[:i+3], before[i+3:]
		}
		if before != "git" {
			before = "..."
		}
		ref = scheme + before + ref[at:]
	}
	if len(ref) > maxQuoted {
		ref = strings.ToValidUTF8(ref[:maxQuoted], "") + "..."
	}
	if query {
		ref += "?..."
	}
	return ref
}
