package signature

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// place is a Git repository, a GnuPG home and SSH keys of a test's own.
type place struct {
	t   *testing.T
	dir string
	env []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	// A GnuPG home's socket has a path of at most 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "sig") //nolint:usetesting // t.TempDir is too long for it
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: dir, env: append(os.Environ(),
		"GNUPGHOME="+dir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")}
	t.Cleanup(func() {
		_, _ = p.try("gpgconf", "--kill", "all")
		_ = os.RemoveAll(dir)
	})
	p.run("git", "init", "-q", "-b", "main", ".")
	return p
}

func (p *place) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *place) run(name string, args ...string) string {
	p.t.Helper()
	out, err := p.try(name, args...)
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) write(name, text string) string {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.path(name)
}

func (p *place) read(name string) string {
	p.t.Helper()
	b, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// sshKey makes a key pair and returns its public half.
func (p *place) sshKey(name, kind, passphrase string) string {
	p.t.Helper()
	p.run("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", p.path(name))
	return strings.TrimSpace(p.read(name + ".pub"))
}

// gpgKey makes a key whose sign-capable part is the primary one.
func (p *place) gpgKey(who, algo, expire string, more ...string) {
	p.t.Helper()
	args := append([]string{"--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, more...)
	p.run("gpg", append(args, "--quick-gen-key", who, algo, "sign", expire)...)
}

func (p *place) export(who string) string {
	p.t.Helper()
	return p.run("gpg", "--batch", "--quiet", "--armor", "--export", who)
}

// commit makes a commit with git and returns it as it is stored.
func (p *place) commit(args ...string) (raw []byte) {
	p.t.Helper()
	p.run("git", append(args, "commit", "-q", "--allow-empty", "-m", "raise the shop\n\nSigned or not.")...)
	return p.stored("HEAD")
}

func (p *place) stored(rev string) []byte {
	p.t.Helper()
	cmd := exec.Command("git", "cat-file", "commit", rev)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// put stores a commit object, and returns its name.
func (p *place) put(raw []byte) string {
	p.t.Helper()
	p.write("object", string(raw))
	return strings.TrimSpace(p.run("git", "hash-object", "-t", "commit", "-w", "object"))
}

// gitVerifies asks git verify-commit.
func (p *place) gitVerifies(rev string) bool {
	_, err := p.try("git", "-c", "gpg.ssh.allowedSignersFile="+p.path("allowed"), "verify-commit", rev)
	return err == nil
}

func withSSH(p *place, key string) []string {
	return []string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + p.path(key), "-c", "commit.gpgsign=true"}
}

func withGPG(who string) []string {
	return []string{"-c", "user.signingkey=" + who, "-c", "commit.gpgsign=true"}
}

func keysOf(t *testing.T, files ...string) *Keys {
	t.Helper()
	k, err := NewFiles(files...).Keys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// verify is what a commit's signature is worth now.
func verify(k *Keys, raw []byte) Result { return k.Verify(raw, time.Now(), time.Now()) }
