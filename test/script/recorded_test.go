package script

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/promtest"
)

// TestASimulationOverWhatAPrometheusRecorded plays the hour behind us, in which
// errors came after twenty minutes.
func TestASimulationOverWhatAPrometheusRecorded(t *testing.T) {
	now := time.Now()
	var history strings.Builder
	history.WriteString("# TYPE errors gauge\n")
	for at := now.Add(-2 * time.Hour); at.Before(now); at = at.Add(time.Minute) {
		v := 0.001
		if since := at.Sub(now.Add(-time.Hour)); since > 20*time.Minute && since < 25*time.Minute {
			v = 0.2
		}
		fmt.Fprintf(&history, "errors %g %d\n", v, at.Unix())
	}
	history.WriteString("# EOF\n")
	server := promtest.Start(t, "global: {scrape_interval: 1m}\n", history.String())
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/simulate.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(script), "-- shop.yaml --\n")
	text, _, _ = strings.Cut(text, "\n-- ")
	if err := os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "changeover"),
		"simulate", "shop", dir, "--prometheus", server.URL, "--since", "1h").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`Signals: from the Prometheus at http://127\.0\.0\.1:\d+\.`,
		`(?m)^10m +\S+ +gradual@50 +Advance GatesPassed`,
		`(?m)^2[0-2]m +\S+ +setup +Rollback Breach +1 commit reverted`,
		`In the end: at setup after 1h: Hold Steady\.`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
