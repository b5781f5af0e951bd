package setup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a folder of commands: all that a script finds.
type machine struct {
	t    *testing.T
	bin  string
	said string // what the stubs were called with
	env  []string
}

func newMachine(t *testing.T, tools ...string) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, bin: filepath.Join(dir, "bin"), said: filepath.Join(dir, "said")}
	must(t, os.Mkdir(m.bin, 0o700))
	m.env = []string{"PATH=" + m.bin, "HOME=" + dir, "POLICY_RC_D=" + filepath.Join(dir, "policy"), "SAID=" + m.said, "SBIN=" + m.bin}
	for _, name := range tools {
		path, err := exec.LookPath(name)
		must(t, err)
		must(t, os.Symlink(path, filepath.Join(m.bin, name)))
	}
	return m
}

func (m *machine) policy() string { return filepath.Join(filepath.Dir(m.bin), "policy") }

// stub puts a command there that notes how it was called and runs a line.
func (m *machine) stub(name, line string) {
	m.t.Helper()
	src := "#!/bin/bash\necho \"" + name + " $*\" >>\"$SAID\"\n" + line + "\n"
	must(m.t, os.WriteFile(filepath.Join(m.bin, name), []byte(src), 0o700))
}

// run runs a script of this folder and returns its output, what the stubs
// noted, and its exit code.
func (m *machine) run(dir, script string, args ...string) (out, said string, code int) {
	m.t.Helper()
	path, err := filepath.Abs(script)
	must(m.t, err)
	cmd := exec.CommandContext(m.t.Context(), path, args...)
	cmd.Dir, cmd.Env = dir, m.env
	b, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		must(m.t, err)
	}
	noted, err := os.ReadFile(m.said)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(b), string(noted), code
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// debian is a machine where apt-get install brings nginx, wrk, prometheus, sshd, gnupg,
// PostgreSQL, MariaDB and chromium.
func debian(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t, "bash", "env", "rm", "tee", "chmod", "cat")
	m.stub("git", "")
	m.stub("gcc", "")
	m.stub("curl", "")
	m.stub("python3", "")
	m.stub("id", "echo 0")
	m.stub("systemctl", "")
	m.stub("apt-get", `[ "$1" = install ] || exit 0
echo "policy: $(cat "$POLICY_RC_D" 2>&1)"
for c in nginx wrk prometheus promtool prometheus-alertmanager sshd gpg initdb mariadbd chromium; do printf '#!/bin/bash\n' >"${0%/*}/$c"; chmod 0755 "${0%/*}/$c"; done`)
	return m
}

func TestComponentsThatAreThereAreLeftAlone(t *testing.T) {
	m := debian(t)
	for _, c := range []string{"nginx", "wrk", "prometheus", "promtool", "prometheus-alertmanager", "sshd", "gpg", "initdb", "mariadbd", "chromium"} {
		m.stub(c, "")
	}
	out, said, code := m.run(".", "components.sh")
	if code != 0 || said != "" {
		t.Errorf("got exit %d and calls %q, want none\n%s", code, said, out)
	}
}

func TestMissingComponentsAreInstalledWithTheirServicesOff(t *testing.T) {
	m := debian(t)
	out, said, code := m.run(".", "components.sh")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	for _, want := range []string{
		"apt-get update -qq\n", "apt-get install -y -qq --no-install-recommends nginx wrk prometheus prometheus-alertmanager openssh-server gnupg postgresql mariadb-server chromium fonts-dejavu-core\n",
		"systemctl disable nginx\n", "systemctl disable prometheus\n", "systemctl disable prometheus-alertmanager\n", "systemctl disable ssh\n", "systemctl disable postgresql\n", "systemctl disable mariadb\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("did not call %q; calls:\n%s", want, said)
		}
	}
	if !strings.Contains(out, "policy: #!/bin/sh\nexit 101") {
		t.Errorf("services were not kept from starting while packages were installed:\n%s", out)
	}
	if _, err := os.Stat(m.policy()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the policy that keeps services from starting was left behind: %v", err)
	}
}

func TestThePolicyOfTheMachineStays(t *testing.T) {
	m := debian(t)
	must(t, os.WriteFile(m.policy(), []byte("mine"), 0o700))
	out, _, code := m.run(".", "components.sh")
	if b, err := os.ReadFile(m.policy()); code != 0 || err != nil || string(b) != "mine" {
		t.Errorf("exit %d, policy %q, %v\n%s", code, b, err, out)
	}
}

func TestAnInstallationThatFailsIsAFailure(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*machine)
		tells string
	}{
		"update":   {func(m *machine) { m.stub("apt-get", "exit 100") }, "apt-get update failed"},
		"install":  {func(m *machine) { m.stub("apt-get", `[ "$1" = update ]`) }, "apt-get install nginx wrk prometheus prometheus-alertmanager openssh-server gnupg postgresql mariadb-server chromium fonts-dejavu-core failed"},
		"useless":  {func(m *machine) { m.stub("apt-get", "") }, "nginx is still missing"},
		"no apt":   {func(m *machine) { must(m.t, os.Remove(filepath.Join(m.bin, "apt-get"))) }, "no apt-get"},
		"no root":  {func(m *machine) { m.stub("id", "echo 1000") }, "no sudo"},
		"services": {func(m *machine) { m.stub("systemctl", "exit 1") }, "could not disable the service nginx"},
	} {
		t.Run(name, func(t *testing.T) {
			m := debian(t)
			c.spoil(m)
			out, _, code := m.run(".", "components.sh")
			if code == 0 || !strings.Contains(out, c.tells) {
				t.Errorf("exit %d, want a failure that tells %q:\n%s", code, c.tells, out)
			}
			if _, err := os.Stat(m.policy()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the policy that keeps services from starting was left behind: %v", err)
			}
		})
	}
}

func TestWithoutRootItAsksSudo(t *testing.T) {
	m := debian(t)
	m.stub("id", "echo 1000")
	m.stub("sudo", `exec "$@"`)
	out, said, code := m.run(".", "components.sh")
	if code != 0 || !strings.Contains(said, "sudo apt-get update") || !strings.Contains(said, "sudo rm -f ") {
		t.Errorf("exit %d, calls:\n%s\n%s", code, said, out)
	}
}

// withGo is a machine whose go test prints lines and exits so.
func withGo(t *testing.T, line string) *machine {
	t.Helper()
	m := newMachine(t, "bash", "env", "rm", "tee", "mktemp", "grep", "sed", "sort", "wc", "cat")
	m.stub("go", line)
	return m
}

func TestASkippedTestFailsTheRun(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		code int
	}{
		"passed":          {`echo "--- PASS: TestA (0.00s)"; echo "ok  x"`, 0},
		"failed":          {`echo "--- FAIL: TestA (0.00s)"; exit 1`, 1},
		"failed silently": {`exit 2`, 2},
		"skipped":         {`echo "--- SKIP: TestA (0.00s)"; echo "ok  x"`, 1},
		"skipped subtest": {`echo "    --- SKIP: TestA/b (0.00s)"; echo "ok  x"`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			out, said, code := withGo(t, c.line).run(".", "gotest.sh", "-race", "./...")
			if code != c.code {
				t.Errorf("got exit %d, want %d\n%s", code, c.code, out)
			}
			if shown := strings.Contains(out, "what failed"); shown != (c.code != 0) {
				t.Errorf("what failed is shown: %t, exit %d\n%s", shown, code, out)
			}
			if said != "go test -v -race ./...\n" {
				t.Errorf("got calls %q", said)
			}
		})
	}
}

func TestFuzzFailsWithoutTargetsAndAfterAFinding(t *testing.T) {
	tree := t.TempDir()
	m := withGo(t, `case "$*" in *FuzzB*) exit 1;; esac`)
	if out, _, code := m.run(tree, "fuzz.sh"); code == 0 || !strings.Contains(out, "no target") {
		t.Errorf("without targets: exit %d\n%s", code, out)
	}
	must(t, os.Mkdir(filepath.Join(tree, "a"), 0o700))
	src := "package a\nfunc FuzzA(f *testing.F) {}\nfunc FuzzB(f *testing.F) {}\nfunc FuzzC(f *testing.F) {}\n"
	must(t, os.WriteFile(filepath.Join(tree, "a", "a_test.go"), []byte(src), 0o600))
	out, said, code := m.run(tree, "fuzz.sh")
	if code == 0 || !strings.Contains(out, "failed: ./a FuzzB") {
		t.Errorf("after a finding: exit %d\n%s", code, out)
	}
	if n := strings.Count(said, "-fuzztime 30s ./a"); n != 3 {
		t.Errorf("ran %d targets, want 3: a finding must not hide the next\n%s", n, said)
	}
}
