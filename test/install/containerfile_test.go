package install

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// containerfile is its instructions, continued lines joined and comments left
// out.
func containerfile(t *testing.T) (list [][]string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "examples/install/Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.ReplaceAll(string(b), "\\\n", " "), "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, strings.Fields(line))
		}
	}
	return list
}

// host is what names a registry: a dot or a port before the first slash.
var host = regexp.MustCompile(`^[^/]*[.:][^/]*/`)

func TestTheContainerfileNamesNoHost(t *testing.T) {
	args := map[string]string{}
	stages, last := 0, ""
	for _, line := range containerfile(t) {
		switch line[0] {
		case "ARG":
			name, value, _ := strings.Cut(line[1], "=")
			args[name] = value
			if host.MatchString(value) {
				t.Errorf("ARG %s names a host", line[1])
			}
		case "FROM":
			stages++
			last = os.Expand(line[1], func(name string) string { return args[name] })
			if !strings.HasPrefix(line[1], "${") || last == "" || host.MatchString(last) {
				t.Errorf("%v: want an ARG with a plain name, got %q", line, last)
			}
		case "ADD":
			t.Errorf("%v: ADD may fetch from a host", line)
		}
		if strings.Contains(strings.Join(line, " "), "://") {
			t.Errorf("%v has a URL", line)
		}
	}
	if stages != 2 || last != "distroless/static:nonroot" {
		t.Errorf("got %d stages, the last from %q", stages, last)
	}
	ends := [][]string{{"USER", "65532:65532"}, {"ENTRYPOINT", `["/changeover"]`}}
	for _, want := range ends {
		if !slices.ContainsFunc(containerfile(t), func(line []string) bool { return slices.Equal(line, want) }) {
			t.Errorf("it does not say %v", want)
		}
	}
}

// TestTheContainerfileCopiesWhatItBuilds has a folder that holds no more than its
// first stage does: all that the programs import is there. The full counts
// build them, which takes minutes where nothing of it was built before.
func TestTheContainerfileCopiesWhatItBuilds(t *testing.T) {
	dir := t.TempDir()
	env := append(os.Environ(), "VERSION=v9.9.9", "GOFLAGS=-mod=readonly")
	var build []string
	for _, line := range containerfile(t) {
		switch {
		case build != nil:
		case line[0] == "COPY":
			for _, src := range line[1 : len(line)-1] {
				copyTree(t, filepath.Join(root, src), filepath.Join(dir, line[len(line)-1], filepath.Base(src)))
			}
		case line[0] == "ENV":
			env = append(env, line[1:]...)
		case line[0] == "RUN" && line[1] == "go" && line[2] == "build":
			build = line[1:]
		}
	}
	if build == nil || !slices.Contains(env, "CGO_ENABLED=0") || !slices.Contains(build, "-trimpath") {
		t.Fatalf("it builds by %v", build)
	}
	run := func(command string) string {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	if n := strings.Count(run("go list -deps ./cmd/changeover ./cmd/changeover-bridge"), "\n"); n < 100 {
		t.Errorf("found %d packages: does this test still build the programs?", n)
	}
	if !accept() {
		return
	}
	out := t.TempDir() + "/"
	run(strings.ReplaceAll(strings.Join(build, " "), "/out/", out))
	for _, name := range []string{"changeover", "changeover-bridge"} {
		f, err := elf.Open(out + name)
		if err != nil {
			t.Fatal(err)
		}
		if f.Section(".interp") != nil || f.Section(".dynamic") != nil {
			t.Errorf("%s is linked to libraries, which the image does not have", name)
		}
		_ = f.Close()
	}
	if said := run(out + "changeover version"); !strings.Contains(said, "v9.9.9") {
		t.Errorf("changeover version says %s", said)
	}
}

// copyTree copies as COPY does: a folder's content into the target, a file to
// the target.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsDir() {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	// COPY cmd cmd: the target is the folder itself.
	if err := os.CopyFS(filepath.Dir(to), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
