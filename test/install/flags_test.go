package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
)

// container of the rendered Deployment.
func container(t *testing.T, variant, name string) core.Container {
	t.Helper()
	for _, d := range of[apps.Deployment](t, render(t, variant), "Deployment") {
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.Name == name {
				return c
			}
		}
	}
	t.Fatalf("%s has no container %s", variant, name)
	return core.Container{}
}

func TestEveryArgumentIsAFlag(t *testing.T) {
	help := func(args ...string) string {
		out, _ := exec.CommandContext(t.Context(), filepath.Join(binaries(t), args[0]), append(args[1:], "--help")...).CombinedOutput()
		return string(out)
	}
	daemon, bridge := help("changeover", "run"), help("changeover-bridge")
	check := func(variant, of, help string, args []string) {
		for _, arg := range args {
			name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			if !strings.HasPrefix(arg, "--") || !regexp.MustCompile(`(^|[\s,])--?`+name+`\b`).MatchString(help) {
				t.Errorf("%s: %s does not know %q", variant, of, arg)
			}
		}
	}
	for _, v := range []string{"base", "site", "bridge", "bridge-replicas", "git-ssh", "signed-commits", "bridge git-ssh gateway-api signed-commits"} {
		c := container(t, v, "changeover")
		if len(c.Args) < 8 || c.Args[0] != "run" || len(c.Command) > 0 {
			t.Fatalf("%s: got command %v and args %v", v, c.Command, c.Args)
		}
		check(v, "changeover run", daemon, c.Args[1:])
		ssh := slices.Contains(c.Args, "--git-ssh-key=/etc/changeover/git/ssh-key")
		token := slices.Contains(c.Args, "--git-token-file=/etc/changeover/git/token")
		if ssh != strings.Contains(v, "ssh") || token == ssh {
			t.Errorf("%s: the credentials for Git are not those of the variant: %v", v, c.Args)
		}
		if signed := slices.Contains(c.Args, "--verify=head"); signed != strings.Contains(v, "signed-commits") {
			t.Errorf("%s: whether commits must be signed is not what the variant says: %v", v, c.Args)
		}
		filesAreMounted(t, v, c)
		if strings.Contains(v, "bridge") {
			b := container(t, v, "bridge")
			if !slices.Equal(b.Command, []string{"/changeover-bridge"}) {
				t.Errorf("%s: got command %v", v, b.Command)
			}
			check(v, "changeover-bridge", bridge, b.Args)
			filesAreMounted(t, v, b)
		}
	}
}

// filesAreMounted checks that each file that an argument names is in a folder
// which is mounted whole: by subPath it would never change.
func filesAreMounted(t *testing.T, variant string, c core.Container) {
	t.Helper()
	for _, arg := range c.Args {
		_, file, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(file, "/") {
			continue
		}
		if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool {
			return m.SubPath == "" && (file == m.MountPath || strings.HasPrefix(file, m.MountPath+"/"))
		}) {
			t.Errorf("%s: nothing is mounted for %s", variant, arg)
		}
	}
}

// TestEveryVariableIsSet: one that is not is passed on as $(NAME).
func TestEveryVariableIsSet(t *testing.T) {
	for v, name := range map[string]string{"base": "changeover", "site": "changeover", "bridge-replicas": "bridge"} {
		m := render(t, v)
		c := container(t, v, name)
		settings := of[core.ConfigMap](t, m, "ConfigMap")
		if len(settings) != 1 {
			t.Fatalf("%s: got %d ConfigMaps, want the settings", v, len(settings))
		}
		set := map[string]bool{}
		for _, e := range c.Env {
			set[e.Name] = true
			if ref := e.ValueFrom; ref != nil && ref.ConfigMapKeyRef != nil {
				if _, ok := settings[0].Data[ref.ConfigMapKeyRef.Key]; !ok || ref.ConfigMapKeyRef.Name != settings[0].Name {
					t.Errorf("%s: %s is read from %v, and the settings are %s %v", v, e.Name, ref.ConfigMapKeyRef, settings[0].Name, settings[0].Data)
				}
			}
		}
		for _, arg := range c.Args {
			for _, m := range regexp.MustCompile(`\$\((\w+)\)`).FindAllStringSubmatch(arg, -1) {
				if !set[m[1]] {
					t.Errorf("%s: %s names a variable that is not set", v, arg)
				}
			}
		}
	}
}

var onlyResources = regexp.MustCompile("^ (`[a-z/]+` )+$")

// TestTheReadmeSaysWhatEachPermissionIsFor compares its tables with the roles.
func TestTheReadmeSaysWhatEachPermissionIsFor(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "examples/install/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, line := range strings.Split(string(b), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !onlyResources.MatchString(cells[1]) {
			continue // what a plan names is not here to be compared
		}
		for _, resource := range regexp.MustCompile("`([a-z/]+)`").FindAllStringSubmatch(cells[1], -1) {
			said[resource[1]+": "+strings.TrimSpace(cells[2])] = false
		}
	}
	for _, v := range []string{"site", "namespace", "bridge-replicas"} {
		for _, list := range rules(t, render(t, v)) {
			for _, rule := range list {
				for _, resource := range rule.Resources {
					row := fmt.Sprintf("%s: %s", resource, strings.Join(rule.Verbs, ", "))
					if _, ok := said[row]; !ok {
						t.Errorf("the README does not say what is for: %s", row)
					}
					said[row] = true
				}
			}
		}
	}
	for row, granted := range said {
		if !granted {
			t.Errorf("the README says what is for, and no role grants: %s", row)
		}
	}
}

// TestThePathsInTheReadmeExist looks up what it names of this folder.
func TestThePathsInTheReadmeExist(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "examples/install/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, m := range regexp.MustCompile(`(?:base|site|namespace|components)/[a-z-]+(?:\.yaml)?`).FindAllString(string(b), -1) {
		seen++
		if _, err := os.Stat(filepath.Join(root, "examples/install", m)); err != nil {
			t.Errorf("the README names %s: %v", m, err)
		}
	}
	if seen < 3 {
		t.Errorf("found %d paths: does this test still read them?", seen)
	}
}
