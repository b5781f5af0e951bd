package git

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// Options of a Repository.
type Options struct {
	// URL of the repository: https, ssh (also user@host:path), file, or a
	// local path. It must not hold a password.
	URL string
	// Branch that is watched; main where empty.
	Branch string
	// Path is the watched folder in the repository; the root where empty.
	Path string
	// Dir is the folder in which the bare store is kept, as branch.git; it
	// belongs to one process. Where empty the store is in memory.
	Dir string
	// Author of the commits.
	Author Author
	Auth   Auth
	// Proxy is the URL of the HTTP proxy for https; where empty the usual
	// environment variables count. It must not hold a password.
	Proxy string
	// CAFile holds certificates, as PEM, of authorities that are trusted for
	// https beside the system's. It is read anew when it changes.
	CAFile string
	// Verify says which commits must be signed; VerifyOff where empty. It needs
	// TrustedKeys: files as signature.Files reads them, anew for every head, so
	// that another key needs no restart.
	Verify      Verify
	TrustedKeys []string
	// Signing is the key that signs the commits; without File they are not
	// signed.
	Signing signature.SigningKey
	// Now is the clock, for commits whose caller gives no time; time.Now
	// where nil.
	Now func() time.Time
	// Timeout bounds one exchange with the remote, beside the caller's
	// context; 30 s where zero.
	Timeout time.Duration
	// CloneTimeout bounds the fetch of the whole history; 10 min where zero.
	CloneTimeout time.Duration
	// RaceTimeout bounds how long a push is recomputed after lost races; 30 s
	// where zero.
	RaceTimeout time.Duration
	// Transport speaks with the remote in place of the one that the URL names;
	// nil: that one.
	Transport transport.Transport
	// Reads tells which files a plan reads beside its own, as paths in the
	// repository, and what is wrong with them. They count as the plan's: for
	// its validity, its digests, its changes, and what a revert takes back.
	// Nil: no plan reads any.
	//
	// The result must depend on the document and the files alone: it is used
	// again for as long as what was looked at is the same. The files must not
	// be kept. It may be called from several goroutines.
	Reads func(files fs.FS, doc *plan.Document) ([]string, []plan.Problem)
}

// Author of commits.
type Author struct{ Name, Email string }

// Auth says where the secrets are. The files are read anew for every exchange
// with the remote.
type Auth struct {
	// Username for https basic auth and for ssh; where empty the URL's, else
	// "git".
	Username string
	// TokenFile holds a token for https, sent as password, or where Bearer is
	// set as bearer token.
	TokenFile string
	Bearer    bool
	// KeyFile holds a private key for ssh, KnownHostsFile the keys of the
	// hosts that are trusted; both are needed for ssh.
	KeyFile        string
	KnownHostsFile string
}

// ParseAuthor reads "Name <address>", as Git writes it.
func ParseAuthor(s string) (Author, error) {
	name, rest, ok := strings.Cut(s, "<")
	address, after, closed := strings.Cut(rest, ">")
	a := Author{Name: strings.TrimSpace(name), Email: strings.TrimSpace(address)}
	if !ok || !closed || strings.TrimSpace(after) != "" || a.Email == "" || a.check() != nil {
		return Author{}, fmt.Errorf("parse author %q: want the form \"Name <address>\"", s)
	}
	return a, nil
}

// check refuses what would break a commit object.
func (a Author) check() error {
	if a.Name == "" || strings.ContainsAny(a.Name+a.Email, "<>\n\x00") {
		return fmt.Errorf("open repository: author %q <%q> needs a name, and no angle brackets or line breaks", a.Name, a.Email)
	}
	return nil
}

// complete fills defaults and refuses what cannot work or would not be safe.
func (o Options) complete() (Options, error) {
	if o.URL == "" {
		return o, errors.New("open repository: no URL given")
	}
	if o.Branch == "" {
		o.Branch = "main"
	}
	if !isBranchName(o.Branch) {
		return o, fmt.Errorf("open repository: branch %q is not a branch name", o.Branch)
	}
	o.Path = strings.Trim(path.Clean("/"+strings.ReplaceAll(o.Path, "\\", "/")), "/")
	if o.Author == (Author{}) {
		o.Author = Author{Name: "Changeover", Email: "changeover@localhost"}
	}
	if err := o.Author.check(); err != nil {
		return o, err
	}
	if o.Verify == "" {
		o.Verify = VerifyOff
	}
	switch {
	case o.Verify != VerifyOff && o.Verify != VerifyHead && o.Verify != VerifyPromotions:
		return o, fmt.Errorf("open repository: verify %q is not known: use off, head or promotions", o.Verify)
	case o.Verify != VerifyOff && len(o.TrustedKeys) == 0:
		return o, fmt.Errorf("open repository: verify %s needs files with trusted keys", o.Verify)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&o.Timeout, 30 * time.Second}, {&o.CloneTimeout, 10 * time.Minute}, {&o.RaceTimeout, 30 * time.Second}} {
		if *d.at <= 0 {
			*d.at = d.def
		}
	}
	return o, nil
}

func isBranchName(s string) bool {
	return !strings.HasPrefix(s, "refs/") && !strings.HasPrefix(s, "-") && plumbing.NewBranchReferenceName(s).Validate() == nil
}

// endpoint parses the URL and checks that it fits the credentials. Its errors
// never repeat the URL where that could hold a password.
func (o Options) endpoint() (*transport.Endpoint, error) {
	ep, err := transport.NewEndpoint(o.URL)
	if err != nil {
		return nil, errors.New("open repository: the URL does not parse; want https://, ssh://, file:// or a local path")
	}
	if ep.Password != "" {
		return nil, errors.New("open repository: the URL holds a password; put it into a file and name that as token file")
	}
	switch ep.Protocol {
	case "file":
	case "http":
		if o.Auth.TokenFile != "" {
			return nil, fmt.Errorf("open repository: a token is never sent over plain http; use https for %s", ep.Host)
		}
	case "https":
		if _, err := o.proxy(); err != nil {
			return nil, err
		}
	case "ssh":
		if o.Auth.KeyFile == "" || o.Auth.KnownHostsFile == "" {
			return nil, fmt.Errorf("open repository: ssh to %s needs a key file and a known_hosts file", ep.Host)
		}
	default:
		return nil, fmt.Errorf("open repository: %q is not supported; use https, ssh, file or a local path", ep.Protocol)
	}
	if ep.Protocol != "https" && (o.Proxy != "" || o.CAFile != "") {
		return nil, fmt.Errorf("open repository: a proxy and certificates are for https; the URL is for %s", ep.Protocol)
	}
	return ep, nil
}

// proxy is the proxy's URL; nil where none is given.
func (o Options) proxy() (*url.URL, error) {
	if o.Proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(o.Proxy)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("open repository: the proxy's URL does not parse; want http://HOST:PORT")
	}
	if u.User != nil {
		return nil, errors.New("open repository: the proxy's URL holds a user or password, which would stand in the list of processes; set HTTPS_PROXY in the environment")
	}
	return u, nil
}

// name is the URL as it may be shown.
func (o Options) name() string {
	u, err := url.Parse(o.URL)
	if err != nil || u.User == nil {
		return o.URL
	}
	u.User = url.User(u.User.Username())
	return u.String()
}
