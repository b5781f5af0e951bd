package walk

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/promtest"
)

// offline are the blocks whose commands run here one by one, by their first line,
// each in a fresh clone that has the README's plan and its test.
var offline = []string{
	"changeover init shop --legacy http://127.0.0.1:8080 --modern http://127.0.0.1:8000 -o plans/shop.yaml",
	"changeover validate plans/",
	"changeover test plans/                              # all *_test.yaml files; -o junit for CI",
	"changeover rehearse onap-so plans/                             # every stop, there and back",
	"changeover advance onap-so                  # the next stop",
	"changeover backtest onap-so plans/ --prometheus http://localhost:9090 --since 7d --svg onap-so.svg",
	"changeover report onap-so --prometheus http://prometheus:9090                        # the last day",
	"changeover transform --files 'examples/onap-so/templates/*.yaml' --with examples/onap-so/heat.yaml -o converted/",
}

// system: what would be written there is not this test's to write.
const system = "it has folders of the system and hosts of others; the quick start runs the program, TestTheCommandsInDocumentsExist looks up the flags"

// excused are the blocks that no test gives literally, and why.
var excused = map[string]string{
	"changeover-bridge --config /var/lib/changeover/bridge.json --listen 0.0.0.0:8080 --admin 127.0.0.1:8081":         system,
	"changeover-bridge --config-map changeover-system/orders-bridge --config-cache /var/cache/bridge.json":            system + "; test/install runs bridges so",
	`changeover-bridge --config /var/lib/changeover/bridge.json --ownership sqlite:///var/lib/changeover/owners.db \`: system,
	`changeover run ... --ownership sqlite:///var/lib/changeover/owners.db --secrets-dir /etc/changeover/secrets \`:   system,
	`changeover run \`: system,
	"changeover run --repo https://github.com/ops/migrations.git --forge-token-file /etc/changeover/forge-token ...": system,
	`changeover run ... --verify promotions --git-trusted-keys /etc/changeover/trusted \`:                            system,
	"export CHANGEOVER_STATE_DIR=/var/lib/changeover   # or --state-dir each time":                                   "they ask a daemon: the quick start does, and the stories of test/e2e",
	"changeover transform intents examples/nephoran --context production --dry-run -o yaml":                          "the cluster is somebody's production; test/kube transforms the same objects there and back",
	"changeover backup list intents": "there must be a backup first; the story of test/kube makes, verifies, compares and restores one",
}

// unfit are single commands in those blocks that cannot be given here, and why.
var unfit = map[string]string{
	"changeover advance onap-so --pr --forge-token-file ~/.config/changeover/token   # and open its pull request": "no forge is there; test/e2e opens pull requests at one",
}

// route is what `kubectl get httproute` would print.
const route = `#!/bin/sh
cat <<'END'
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: web}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
END
`

// findings are commands that may end with 1 over a Prometheus without data.
var findings = regexp.MustCompile(`^changeover (?:gates|backtest|report) `)

// TestTheCommandsOfTheReadmeRun gives each command of these blocks as it stands,
// with addresses and files that are there.
func TestTheCommandsOfTheReadmeRun(t *testing.T) {
	text := readme(t)
	kubeconfig := kubetest.Shared(t).Kubeconfig
	prometheus := promtest.Start(t, "{}").URL
	places := strings.NewReplacer("http://localhost:9090", prometheus, "http://prometheus:9090", prometheus, "--kubeconfig FILE", "--kubeconfig "+kubeconfig)
	all := blocks(text)
	for _, first := range offline {
		found := 0
		for _, b := range all {
			if b[0] != first {
				continue
			}
			for _, c := range commands(b) {
				found++
				if unfit[c] != "" {
					continue
				}
				t.Run(strings.Join(strings.Fields(c), " "), func(t *testing.T) { runs(t, clone(t, text), places.Replace(c)) })
			}
		}
		if found == 0 {
			t.Errorf("the README has no block that begins with %q any more", first)
		}
	}
}

func runs(t *testing.T, dir, command string) {
	t.Helper()
	stubs := t.TempDir()
	must(t, os.WriteFile(filepath.Join(stubs, "kubectl"), []byte(route), 0o700)) //nolint:gosec // it is to be run
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	env := environ(t, t.TempDir())
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", "PATH="+stubs+":$PATH\n"+command)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && findings.MatchString(command) {
		err = nil // nothing is known yet of the gates, and the migration is open
	}
	if err != nil || len(out) == 0 {
		t.Errorf("%v:\n%s", err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fenced is the first fenced block of YAML.
func fenced(t *testing.T, text string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n```yaml\n")
	code, _, end := strings.Cut(rest, "\n```\n")
	if !ok || !end {
		t.Fatal("found no YAML")
	}
	return code + "\n"
}

// copied copies a file, or a folder.
func copied(from, to string) error {
	if info, err := os.Stat(from); err == nil && info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// clone is one of a repository that has the README's plan, its test and our
// examples; on the branch my-branch the plan goes on.
func clone(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	_, tests, _ := strings.Cut(text, "\n### Test it before production\n")
	work := filepath.Join(dir, "work")
	must(t, os.MkdirAll(filepath.Join(work, "plans"), 0o700))
	must(t, os.WriteFile(filepath.Join(work, "plans", "onap-so.yaml"), []byte(fenced(t, text)), 0o600))
	must(t, os.WriteFile(filepath.Join(work, "plans", "onap-so_test.yaml"), []byte(fenced(t, tests)), 0o600))
	// Not the example's plan, which has the same name.
	for _, name := range []string{"heat.yaml", "templates"} {
		must(t, copied(filepath.Join("../../examples/onap-so", name), filepath.Join(work, "examples", "onap-so", name)))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", `
git init -q --bare -b main ../host.git
git init -q -b main . && git remote add origin "$PWD/../host.git"
git add . && git commit -q -m "onap-so: a plan" && git push -q -u origin main
git checkout -q -b my-branch
sed -i 's/position: {phase: setup} /position: {phase: gradual, percent: 10} /' plans/onap-so.yaml
git commit -q -a -m "onap-so: on" && git checkout -q main`)
	cmd.Dir, cmd.Env = work, environ(t, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return work
}
