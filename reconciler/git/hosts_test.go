package git

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/changeover-dev/changeover/test/child"
)

// via is one way to reach a fixture's bare repository.
type via struct {
	name string
	// open opens it. Its options hold the credentials of a user who may push.
	open func(t *testing.T, f *fixture, o Options) *Repository
}

// transports are those that the design promises, each with a real server.
func transports(t *testing.T) []via {
	t.Helper()
	sshd := startSSHD(t)
	return []via{
		{"file", func(t *testing.T, f *fixture, o Options) *Repository { t.Helper(); return openWith(t, o) }},
		{"https", func(t *testing.T, f *fixture, o Options) *Repository {
			t.Helper()
			h := newHTTPSHost(t, f)
			token := rand.Text()
			h.token.Store(&token)
			o.Auth = Auth{Username: "ada", TokenFile: secretFile(t, token)}
			r, err := h.open(t, o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}},
		{"ssh", func(t *testing.T, f *fixture, o Options) *Repository {
			t.Helper()
			o.URL, o.Auth = sshd.url(f.bare), sshd.auth
			return openWith(t, o)
		}},
	}
}

// sshServer is a real sshd on a loopback port for whoever runs the tests.
type sshServer struct {
	user, address string
	auth          Auth
}

func (s sshServer) url(path string) string { return "ssh://" + s.user + "@" + s.address + path }

func startSSHD(t *testing.T) sshServer {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("sshd is missing: %v; `make deps` installs it", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" { // it gives up its rights in this folder
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hostKey, hostText := newKey(t)
	userKey, userText := newKey(t)
	s := sshServer{user: me.Username, address: child.FreeAddr(t)}
	s.auth = Auth{
		KeyFile:        secretFile(t, userText),
		KnownHostsFile: secretFile(t, knownhosts.Line([]string{knownhosts.Normalize(s.address)}, hostKey.PublicKey())+"\n"),
	}
	_, port, _ := net.SplitHostPort(s.address)
	// The tests' own environment keeps the machine's Git configuration out.
	config := secretFile(t, fmt.Sprintf(`Port %s
ListenAddress 127.0.0.1
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PidFile none
MaxStartups 100
SetEnv GIT_CONFIG_GLOBAL=%s GIT_CONFIG_NOSYSTEM=1 LC_ALL=C
`, port, secretFile(t, hostText), secretFile(t, string(ssh.MarshalAuthorizedKey(userKey.PublicKey()))), gitConfig))
	var said bytes.Buffer
	cmd := exec.Command(program, "-D", "-e", "-f", config)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%.5000s", said.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = c.Close()
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("sshd does not answer: %v", err)
		}
	}
}

// once installs a hook that acts once, and then lets all pass.
func (f *fixture) once(name, script string) {
	f.t.Helper()
	f.hook(name, `[ "$1" = refs/heads/main ] || [ -z "$1" ] || exit 0; [ -e struck ] && exit 0; touch struck; `+script)
}

func (f *fixture) lift() {
	f.t.Helper()
	for _, name := range []string{"update", "pre-receive", "post-receive"} {
		if err := os.RemoveAll(filepath.Join(f.bare, "hooks", name)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// reverts counts the daemon's on the host's branch.
func (f *fixture) reverts() string {
	f.t.Helper()
	return strings.TrimSpace(f.host("rev-list", "--count", "--grep=Changeover-Rollback-Of", "main"))
}
