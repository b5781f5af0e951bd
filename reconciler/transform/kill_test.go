package transform

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/changeover-dev/changeover/test/kubetest"
)

// TestKilledAgainAndAgainItEndsAsUndisturbed has one process transform in peace, and
// in another namespace one after the other that is killed, while others change,
// add and delete sources. Both end with the same objects.
func TestKilledAgainAndAgainItEndsAsUndisturbed(t *testing.T) {
	sources, kills := 100, 4
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		sources, kills = 10_000, 20
	}
	k := install(t)
	calm, hard := k.Namespace(t), k.Namespace(t)
	begin := time.Now()
	plant(t, k, calm, 0, sources)
	plant(t, k, hard, 0, sources)
	t.Logf("%d sources in each of two namespaces after %s", sources, time.Since(begin).Round(time.Millisecond))

	begin = time.Now()
	undisturbed := finished(t, k, calm, t.TempDir(), nil)
	took := time.Since(begin)
	_, counts := specs(t, k, calm)
	objects := 0
	for _, n := range counts {
		objects += n
	}
	t.Logf("undisturbed: %d sources became %d objects in %s, compared and verified: %.0f sources/s, %.0f objects/s; %v", sources, objects, took.Round(time.Millisecond),
		float64(sources)/took.Seconds(), float64(objects)/took.Seconds(), counts)
	want := map[string]int{"intentprocessings": sources, "resourceplans": sources * 7 / 10, "manifestgenerations": sources / 2,
		"gitopsdeployments": sources * 4 / 10, "deploymentverifications": sources * 3 / 10}
	if d := cmp.Diff(want, counts); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
	if undisturbed.Changed+undisturbed.Added+undisturbed.Deleted+undisturbed.Orphaned != 0 || undisturbed.Compared != sources || undisturbed.Sources != sources {
		t.Errorf("undisturbed: %+v", undisturbed)
	}

	dir := t.TempDir()
	begin = time.Now()
	meddled := 0
	for range kills {
		if killed(t, k, hard, dir, took*time.Duration(2)/time.Duration(kills)) {
			break // it was done before the kill, and what others do from now on is not its own
		}
		meddle(t, k, hard, meddled, sources)
		meddled++
	}
	if meddled == 0 {
		t.Error("it was not killed once before it was done")
	}
	report := finished(t, k, hard, dir, nil)
	t.Logf("killed %d times: done after %s; %s", meddled, time.Since(begin).Round(time.Millisecond), report.String(false))

	// In peace the same sources are brought to where the others were brought.
	for i := range meddled {
		meddle(t, k, calm, i, sources)
	}
	finished(t, k, calm, t.TempDir(), nil)
	calmSum, counts := specs(t, k, calm)
	hardSum, hardCounts := specs(t, k, hard)
	if calmSum != hardSum {
		t.Errorf("killed %d times it ends with other objects: %v, want %v", kills, hardCounts, counts)
	}
	if report.Restless || report.Sources != sources || report.Compared != sources {
		t.Errorf("killed: %+v, want %d sources", report, sources)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) == 0 {
		t.Errorf("no records: %v", err)
	}
}

// meddle is what others do to the sources between two kills: one is changed, one
// deleted, one added.
func meddle(t *testing.T, k *kubetest.Kube, namespace string, i, sources int) {
	t.Helper()
	change(t, k, "networkintents", namespace, fmt.Sprintf("intent-%05d", 10*i), fmt.Sprintf(`{"spec": {"intent": "changed %d"}}`, i))
	r := k.Dynamic.Resource(resource("networkintents")).Namespace(namespace)
	must(t, r.Delete(context.Background(), fmt.Sprintf("intent-%05d", 10*i+1), metav1.DeleteOptions{}))
	must(t, plantOne(k, namespace, sources+10*i+1))
}

func process(t *testing.T, k *kubetest.Kube, namespace, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+namespace, "CHANGEOVER_TRANSFORM_DIR="+dir, "KUBECONFIG="+k.Kubeconfig)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := bufio.NewScanner(out)
	said.Buffer(nil, 1<<20)
	return cmd, said
}

// killed runs a process for some time after its first batch, and reports whether it
// was done before.
func killed(t *testing.T, k *kubetest.Kube, namespace, dir string, most time.Duration) (done bool) {
	t.Helper()
	cmd, said := process(t, k, namespace, dir)
	if !said.Scan() {
		t.Fatalf("the process said nothing: %v", cmd.Wait())
	}
	time.AfterFunc(time.Duration(rand.Int64N(int64(most)+1)), func() { _ = cmd.Process.Kill() })
	last := said.Text()
	for said.Scan() {
		last = said.Text()
	}
	_ = cmd.Wait() // it was killed
	t.Logf("killed at: %.120s", last)
	return strings.HasPrefix(last, "report ")
}

// finished runs a process to its end.
func finished(t *testing.T, k *kubetest.Kube, namespace, dir string, each func(line string)) Report {
	t.Helper()
	cmd, said := process(t, k, namespace, dir)
	var reports map[string]Report
	for said.Scan() {
		if text, ok := strings.CutPrefix(said.Text(), "report "); ok {
			must(t, json.Unmarshal([]byte(text), &reports))
		} else if each != nil {
			each(said.Text())
		}
	}
	must(t, cmd.Wait())
	return reports["intents"]
}
