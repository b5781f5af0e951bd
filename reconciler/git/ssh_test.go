package git

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/changeover-dev/changeover/reconciler"
)

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

// sshHost runs git's own commands for whoever has the user's key.
func sshHost(t *testing.T, hostKey ssh.Signer, user ssh.PublicKey) (address string) {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(user.Marshal()) {
			return nil, io.EOF
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(c, config)
		}
	}()
	return l.Addr().String()
}

func serveSSH(c net.Conn, config *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		c.Close()
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for n := range channels {
		ch, reqs, err := n.Accept()
		if err != nil {
			return
		}
		go func() {
			for req := range reqs {
				if req.Type != "exec" {
					req.Reply(false, nil)
					continue
				}
				var p struct{ Command string }
				_ = ssh.Unmarshal(req.Payload, &p)
				req.Reply(true, nil)
				name, path, _ := strings.Cut(p.Command, " ")
				cmd := exec.Command("git", strings.TrimPrefix(name, "git-"), strings.Trim(path, "'"))
				cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
				in, _ := cmd.StdinPipe()
				go func() { io.Copy(in, ch); in.Close() }()
				_ = cmd.Run()
				ch.SendRequest("exit-status", false, ssh.Marshal(struct{ N uint32 }{0}))
				ch.Close()
			}
		}()
	}
}

func TestSSHReadsAndPushesWithAKeyAndKnownHosts(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	hostKey, _ := newKey(t)
	user, private := newKey(t)
	address := sshHost(t, hostKey, user.PublicKey())
	o := f.options()
	o.URL = "ssh://git@" + address + f.bare
	o.Auth = Auth{
		KeyFile:        secretFile(t, private),
		KnownHostsFile: secretFile(t, knownhosts.Line([]string{knownhosts.Normalize(address)}, hostKey.PublicKey())+"\n"),
	}
	r := openWith(t, o)
	if err := r.CheckPush(t.Context()); err != nil {
		t.Error(err)
	}
	if p := push(t, r, undo("gradual@10", "setup", bad)); p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("setup") {
		t.Errorf("got %+v", p)
	}
	f.fsck(f.bare)

	t.Run("refuses an unknown host", func(t *testing.T) {
		o := o
		o.Dir = ""
		other, _ := newKey(t)
		o.Auth.KnownHostsFile = secretFile(t, knownhosts.Line([]string{knownhosts.Normalize(address)}, other.PublicKey())+"\n")
		_, err := Open(t.Context(), o)
		e := wantKind(t, err, reconciler.RemoteAuth)
		if !strings.Contains(e.Error(), "known_hosts") {
			t.Errorf("got %v", e)
		}
	})
	t.Run("refuses a wrong key", func(t *testing.T) {
		o := o
		o.Dir = ""
		_, wrong := newKey(t)
		o.Auth.KeyFile = secretFile(t, wrong)
		_, err := Open(t.Context(), o)
		wantKind(t, err, reconciler.RemoteAuth)
	})
	t.Run("never shows a key that does not parse", func(t *testing.T) {
		o := o
		o.Dir = ""
		o.Auth.KeyFile = secretFile(t, "hunter2")
		_, err := Open(t.Context(), o)
		if e := wantKind(t, err, reconciler.RemoteAuth); strings.Contains(e.Error(), "hunter2") {
			t.Errorf("got %v", e)
		}
	})
}

// A host that takes the connection and says nothing must not hang us.
func TestSSHHostThatSaysNothingIsUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := newFixture(t)
	hostKey, private := newKey(t)
	o := f.options()
	o.URL = "ssh://git@" + l.Addr().String() + f.bare
	o.Timeout = 300 * time.Millisecond
	o.Auth = Auth{
		KeyFile:        secretFile(t, private),
		KnownHostsFile: secretFile(t, knownhosts.Line([]string{knownhosts.Normalize(l.Addr().String())}, hostKey.PublicKey())+"\n"),
	}
	begun := time.Now()
	_, err = Open(t.Context(), o)
	wantKind(t, err, reconciler.RemoteUnreachable)
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
}
