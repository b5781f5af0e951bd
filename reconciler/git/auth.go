package git

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	gitfile "github.com/go-git/go-git/v5/plumbing/transport/file"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
)

// newTransport returns the client for a protocol. It is this repository's own:
// nothing is installed for the whole process.
func newTransport(protocol string, o Options) (transport.Transport, error) {
	if o.Transport != nil {
		return o.Transport, nil
	}
	switch protocol {
	case "http", "https":
		via, err := newRoundTripper(o)
		if err != nil {
			return nil, err
		}
		// go-git's client refuses a redirect to plain http, and takes the
		// credentials off one to another host.
		return githttp.NewClient(&http.Client{Transport: via}), nil
	case "ssh":
		return gitssh.NewClient(nil), nil
	}
	return gitfile.DefaultClient, nil
}

// credentials reads the secrets from their files. secret is what must not
// appear in any text.
func (a Auth) credentials(ep *transport.Endpoint, timeout time.Duration) (m transport.AuthMethod, secret string, err error) {
	user := a.Username
	if user == "" {
		user = ep.User
	}
	if user == "" {
		user = "git"
	}
	switch ep.Protocol {
	case "https":
		if a.TokenFile == "" {
			return nil, "", nil
		}
		b, err := os.ReadFile(a.TokenFile)
		if err != nil {
			return nil, "", fmt.Errorf("read token file: %w", err)
		}
		token := strings.TrimSpace(string(b))
		if token == "" || strings.ContainsAny(token, "\r\n") {
			return nil, "", fmt.Errorf("read token file %q: want one line with the token", a.TokenFile)
		}
		if a.Bearer {
			return &githttp.TokenAuth{Token: token}, token, nil
		}
		return &githttp.BasicAuth{Username: user, Password: token}, token, nil
	case "ssh":
		m, err := a.sshKey(user, ep, timeout)
		return m, "", err
	}
	return nil, "", nil
}

func (a Auth) sshKey(user string, ep *transport.Endpoint, timeout time.Duration) (transport.AuthMethod, error) {
	key, err := os.ReadFile(a.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read ssh key: %w", err)
	}
	keys, err := gitssh.NewPublicKeys(user, key, "")
	if err != nil {
		// The parser's text could quote the file.
		return nil, fmt.Errorf("read ssh key %q: want an unencrypted private key in PEM or OpenSSH form", a.KeyFile)
	}
	if _, err := os.Stat(a.KnownHostsFile); err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	known, err := gitssh.NewKnownHostsDb(a.KnownHostsFile)
	if err != nil {
		return nil, fmt.Errorf("read known hosts %q: %w", a.KnownHostsFile, err)
	}
	port := ep.Port
	if port <= 0 {
		port = gitssh.DefaultPort
	}
	keys.HostKeyCallback = known.HostKeyCallback()
	keys.HostKeyAlgorithms = known.HostKeyAlgorithms(net.JoinHostPort(ep.Host, strconv.Itoa(port)))
	return &timedKeys{PublicKeys: keys, timeout: timeout}, nil
}

// timedKeys bounds how long a connection may take to open.
type timedKeys struct {
	*gitssh.PublicKeys
	timeout time.Duration
}

// ClientConfig implements gitssh.AuthMethod.
func (k *timedKeys) ClientConfig() (*ssh.ClientConfig, error) {
	c, err := k.PublicKeys.ClientConfig()
	if c != nil {
		c.Timeout = k.timeout
	}
	return c, err
}
