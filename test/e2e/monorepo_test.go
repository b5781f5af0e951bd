package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/stack"
)

// size of a repository in which one plan is a small part.
type size struct{ files, fileSize, commits int }

// TestAMonorepoCostsLittle: the daemon reads a large repository over http. What
// it takes is printed beside what Git's own commands take in the same run, and
// held against the promises where the full counts are asked for.
func TestAMonorepoCostsLittle(t *testing.T) {
	big := size{files: 2_000, fileSize: 5_000, commits: 200}
	if accept() {
		big = size{files: 20_000, fileSize: 5_000, commits: 2_000}
	}
	m := newMonorepo(t, big)
	m.s.StartDaemon()
	m.s.Await("steady at setup", time.Minute, steadyAt("setup"))
	m.steady(t)
	m.elsewhere(t)
	m.promotions(t)
	if mem := m.anonymous(t); accept() && mem > 150 {
		t.Errorf("%d MiB of anonymous memory, want less than 150", mem)
	}
}

// monorepo is a stack whose repository is large and served over http.
type monorepo struct {
	s               *stack.Stack
	url, page, hook string
	secret          string
}

func newMonorepo(t *testing.T, big size) *monorepo {
	t.Helper()
	m := &monorepo{page: child.FreeAddr(t), hook: child.FreeAddr(t), secret: "0123456789abcdef0123456789abcdef"}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(m.secret), 0o600); err != nil {
		t.Fatal(err)
	}
	m.s = stack.Start(t, stack.Options{Bin: bin, Gateway: "bridge", Plan: ordersPlan, Args: []string{
		"--interval", "10m", "--git-interval", "1h", "--git-max-age", "2h", "--drift-interval", "1h", "--listen", m.page,
		"--hook-listen", m.hook, "--hook-secret-file", file, "--repo", serveGit(t, func() string { return m.s.Repo }, &m.url),
	}})
	grow(t, m.s, big)
	return m
}

// serveGit serves a bare repository as a host does, with git http-backend. The
// repository is asked for with each request.
func serveGit(t *testing.T, repo func() string, url *string) string {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		(&cgi.Handler{
			Path: strings.TrimSpace(string(path)) + "/git-http-backend",
			Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(repo()), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada"},
		}).ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	*url = s.URL + "/orders.git"
	return *url
}

// grow adds files of random bytes, and commits that each change some of them.
func grow(t *testing.T, s *stack.Stack, big size) {
	t.Helper()
	s.Remote("config", "http.receivepack", "true")
	var b bytes.Buffer
	r := rand.NewChaCha8([32]byte{7})
	file := func(i, n int) {
		data := make([]byte, n)
		_, _ = r.Read(data)
		fmt.Fprintf(&b, "M 100644 inline src/d%d/f%d.bin\ndata %d\n%s\n", i%200, i, n, data)
	}
	for i := range big.commits {
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 9\nelsewhere\n", 1_770_000_000+i)
		if i == 0 {
			b.WriteString("from refs/heads/main^0\n")
			for n := range big.files {
				file(n, big.fileSize)
			}
		}
		for n := range 3 {
			file((i*3+n)%big.files, 200)
		}
	}
	cmd := exec.CommandContext(t.Context(), "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = s.Repo, &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
	s.Pull()
}

// deliver tells the daemon of a push, as a host does.
func (m *monorepo) deliver(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+m.hook+"/hook/gitlab", strings.NewReader(`{"ref":"refs/heads/main"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Gitlab-Token", m.secret)
	req.Header.Set("X-Gitlab-Event", "Push Hook")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("the webhook is answered %d", resp.StatusCode)
	}
}

// metric adds up the daemon's samples of a name; of a histogram its sum and
// count.
func (m *monorepo) metric(t *testing.T, name string) (sum float64, count uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.page+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(io.LimitReader(resp.Body, 10<<20))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range families[name].GetMetric() {
		sum += s.GetGauge().GetValue() + s.GetCounter().GetValue() + s.GetHistogram().GetSampleSum()
		count += s.GetHistogram().GetSampleCount()
	}
	return sum, count
}

// await polls for what must become so within a minute, and returns how long it
// took.
func (m *monorepo) await(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > time.Minute {
			t.Fatalf("wait for %s: it did not come in a minute\n%s", what, m.s.DaemonLog())
		}
		time.Sleep(20 * time.Millisecond) // the processor is the daemon's
	}
	return time.Since(begun)
}

// steady asks for readings of a branch on which nothing happens.
func (m *monorepo) steady(t *testing.T) {
	t.Helper()
	polls := func() uint64 { _, n := m.metric(t, "changeover_git_operations_seconds"); return n }
	read := func(n int) {
		for range n {
			had := polls()
			m.deliver(t)
			m.await(t, "a reading of the branch", func() bool { return polls() > had })
		}
	}
	read(5)
	sum, n := m.metric(t, "changeover_git_operations_seconds")
	mem := m.anonymous(t)
	read(count(10, 60))
	sum2, n2 := m.metric(t, "changeover_git_operations_seconds")
	grown := m.anonymous(t) - mem
	each := time.Duration((sum2 - sum) / float64(n2-n) * float64(time.Second))
	remote := m.median(t, 10, "git", "ls-remote", m.url, "main")
	t.Logf("one reading of an unchanged branch takes %s, of which the server's answer takes %s; `git ls-remote` %s; %d readings grew the memory by %d MiB",
		each.Round(100*time.Microsecond), m.answer(t).Round(100*time.Microsecond), remote.Round(100*time.Microsecond), n2-n, grown)
	if accept() && each > 20*time.Millisecond {
		t.Errorf("a reading takes %s, want less than 20 ms", each)
	}
	if grown > 20 {
		t.Errorf("the memory grew by %d MiB", grown)
	}
}

// answer is the median time of the one request of a reading, by a client that
// does nothing with it.
func (m *monorepo) answer(t *testing.T) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 20 {
		begun := time.Now()
		resp, err := http.Get(m.url + "/info/refs?service=git-upload-pack")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// elsewhere commits what is no plan's, and then what is.
func (m *monorepo) elsewhere(t *testing.T) {
	t.Helper()
	decided := func() float64 { n, _ := m.metric(t, "changeover_decisions_total"); return n }
	polls := func() uint64 { _, n := m.metric(t, "changeover_git_operations_seconds"); return n }
	before, had := decided(), polls()
	m.s.Write("src/d1/new.txt", "new\n")
	m.s.Commit("elsewhere")
	m.deliver(t)
	m.await(t, "a reading of the branch", func() bool { return polls() > had })
	time.Sleep(300 * time.Millisecond)
	if n := decided() - before; n != 0 {
		t.Errorf("a commit elsewhere made %v decisions, want none", n)
	}
}

// decidedAt is when the daemon first decided with that stop declared, after so much
// of its log. The log is what the measurement disturbs least.
func (m *monorepo) decidedAt(t *testing.T, had int, stop string) time.Time {
	t.Helper()
	line := regexp.MustCompile(`time=(\S+) .*msg=decided .* declared=` + stop + ` `)
	var at time.Time
	m.await(t, "the promotion", func() bool {
		found := line.FindStringSubmatch(m.s.DaemonLog()[had:])
		if found == nil {
			return false
		}
		var err error
		if at, err = time.Parse(time.RFC3339Nano, found[1]); err != nil {
			t.Fatal(err)
		}
		return true
	})
	return at
}

// promotions measures from the delivery to where the daemon has decided about the
// stop.
func (m *monorepo) promotions(t *testing.T) {
	t.Helper()
	var took []time.Duration
	for i := range count(5, 21) {
		stop := []string{"gradual@10", "setup"}[i%2]
		m.s.Declare(stop)
		time.Sleep(600 * time.Millisecond) // two readings a second are allowed
		had, begun := len(m.s.DaemonLog()), time.Now()
		m.deliver(t)
		took = append(took, m.decidedAt(t, had, stop).Sub(begun))
	}
	slices.Sort(took)
	fetch := m.fetches(t)
	begun := time.Now()
	m.s.Git("clone", "-q", "--depth=1", m.url, filepath.Join(t.TempDir(), "shallow"))
	shallow := time.Since(begun)
	median := took[len(took)/2]
	t.Logf("a promotion is seen %s after the webhook (median of %d, at most %s); `git fetch` of one commit takes %s, a shallow clone %s",
		median.Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond), fetch.Round(time.Millisecond), shallow.Round(time.Millisecond))
	if accept() && median > 100*time.Millisecond {
		t.Errorf("a promotion is seen after %s, want less than 100 ms", median)
	}
}

// fetches is what `git fetch` of one commit takes in a mirror.
func (m *monorepo) fetches(t *testing.T) time.Duration {
	t.Helper()
	mirror := filepath.Join(t.TempDir(), "mirror.git")
	m.s.Git("clone", "-q", "--mirror", m.url, mirror)
	var took []time.Duration
	for i := range 5 {
		m.s.Write("src/d1/new.txt", fmt.Sprintln(i))
		m.s.Commit("elsewhere")
		begun := time.Now()
		m.s.Git("-C", mirror, "fetch", "-q", "origin")
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// median of what a command takes.
func (m *monorepo) median(t *testing.T, times int, name string, args ...string) time.Duration {
	t.Helper()
	var took []time.Duration
	for range times {
		begun := time.Now()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// anonymous is the daemon's memory that is no file's, in MiB.
func (m *monorepo) anonymous(t *testing.T) int {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", m.s.DaemonPID()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	kib := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			fmt.Sscan(rest, &kib)
		}
	}
	t.Logf("%d MiB of anonymous memory", kib>>10)
	return kib >> 10
}
