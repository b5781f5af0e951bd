package docs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// pipeline is what the examples for CI have in common: GitHub and Gitea have
// jobs with steps, GitLab jobs with a script.
type pipeline struct {
	Jobs map[string]struct {
		Steps []struct {
			Uses string `json:"uses"`
			Run  string `json:"run"`
		} `json:"steps"`
	} `json:"jobs"`
	Plans struct {
		Script []string `json:"script"`
	} `json:"plans"`
}

// scripts are what a runner gives to its shell, one a step.
func (p pipeline) scripts(t *testing.T) (out []string) {
	t.Helper()
	for _, job := range p.Jobs {
		for _, s := range job.Steps {
			if s.Run != "" {
				out = append(out, s.Run)
			} else if !regexp.MustCompile(`^actions/checkout@v\d+\.\d+\.\d+$`).MatchString(s.Uses) {
				t.Errorf("uses %q, which is not the checkout at a version", s.Uses)
			}
		}
	}
	if len(p.Plans.Script) > 0 {
		out = append(out, strings.Join(p.Plans.Script, "\n"))
	}
	if len(out) == 0 {
		t.Fatal("found no script")
	}
	return out
}

var ciCommand = regexp.MustCompile(`(?m)\bchangeover( (?:validate|diff)[^\n|>]*)`)

// TestTheExamplesForCIRun runs the scripts of each example as its runner would,
// with the real binary, on a repository with a pull request.
func TestTheExamplesForCIRun(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/changeover")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, name := range []string{"github.yaml", "gitea.yaml", "gitlab-ci.yml"} {
		t.Run(name, func(t *testing.T) {
			var p pipeline
			src := read(t, "examples/ci/"+name)
			if err := yaml.Unmarshal([]byte(src), &p); err != nil {
				t.Fatal(err)
			}
			scripts := p.scripts(t)
			commands := ciCommand.FindAllStringSubmatch(strings.Join(scripts, "\n"), -1)
			if len(commands) < 2 {
				t.Errorf("found %d commands, want validate and diff", len(commands))
			}
			for _, m := range commands {
				checkCommand(t, bin, name, "changeover", m[1])
			}
			good := read(t, "examples/quickstart/nginx.yaml")
			at := func(src, position string) string {
				return strings.Replace(src, "{phase: setup}", position, 1)
			}
			ten := at(good, "{phase: gradual, percent: 10}")
			for _, c := range []struct {
				name, base, head string
				worst            int
				says             string
			}{
				{"a raise", good, at(good, "{phase: gradual, percent: 25}"), 0, "gradual"},
				{"the stop in effect goes", ten, strings.ReplaceAll(strings.ReplaceAll(ten, "[10, 25", "[25"), "percent: 10}", "percent: 25}"), 1, "off"},
				{"a broken plan", good, strings.Replace(good, "bake: 10m", "bake: ten", 1), 1, "duration"},
			} {
				worst, said := runCI(t, bin, scripts, c.base, c.head)
				if worst != c.worst || !strings.Contains(said, c.says) {
					t.Errorf("%s: ended with %d, want %d, and %q in\n%s", c.name, worst, c.worst, c.says, said)
				}
			}
		})
	}
}

// runCI makes a repository with a pull request, checked out as merged, and runs
// the scripts. It returns the highest exit code and all that was written.
func runCI(t *testing.T, bin string, scripts []string, base, head string) (worst int, said string) {
	t.Helper()
	dir := t.TempDir()
	summary := filepath.Join(t.TempDir(), "summary.md")
	write(t, summary, nil)
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir(), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
		"GITHUB_STEP_SUMMARY="+summary, "GITHUB_BASE_REF=main")
	sh := func(script string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = dir, env
		return cmd.CombinedOutput()
	}
	must := func(script string) string {
		out, err := sh(script)
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write(t, filepath.Join(dir, "plans/shop.yaml"), []byte(base))
	must("git init -q -b main . && git add . && git commit -q -m base && git checkout -q -b work")
	write(t, filepath.Join(dir, "plans/shop.yaml"), []byte(head))
	must("git commit -q -a -m change && git checkout -q main && git commit -q --allow-empty -m other && git update-ref refs/remotes/origin/main HEAD && git merge -q --no-ff -m merge work")
	env = append(env, "CI_MERGE_REQUEST_DIFF_BASE_SHA="+must("git merge-base work HEAD^1"))
	for _, s := range scripts {
		out, err := sh(s)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			worst = max(worst, exit.ExitCode())
		} else if err != nil {
			t.Fatal(err)
		}
		said += string(out)
	}
	b, err := os.ReadFile(summary)
	if err != nil {
		t.Fatal(err)
	}
	return worst, said + string(b)
}
