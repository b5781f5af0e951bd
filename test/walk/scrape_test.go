package walk

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// unscraped are metrics of the dashboard and the alerts that a walk without these
// things does not make.
var unscraped = map[string]string{
	"changeover_drift_corrections_total": "nothing drifts",
	"changeover_work_errors_total":       "nothing fails",
	"changeover_observed_percent":        "the split is read once a minute",
	"changeover_signal_value":            "the walk has too few requests for the plan's signal",
	"changeover_notifications_total":     "nobody is told",
	"changeover_notifications_waiting":   "nobody is told",
	"changeover_git_unverified":          "commits need not be signed",
}

var used = regexp.MustCompile(`\bchangeover_[a-z_]+\b`)

// scraped: what the dashboard and the alerts ask for is in a scrape of a daemon that
// promoted and rolled back.
func scraped(t *testing.T, file string) {
	t.Helper()
	scrape, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	have := map[string]bool{}
	for line := range strings.Lines(string(scrape)) {
		if name := used.FindString(line); name != "" && !strings.HasPrefix(line, "#") {
			have[name] = true
		}
	}
	found := 0
	for _, of := range []string{"dashboard.json", "alerts.yaml"} {
		text, err := os.ReadFile("../../examples/install/monitoring/" + of)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range used.FindAllString(string(text), -1) {
			if have[name] {
				found++
			} else if unscraped[name] == "" {
				t.Errorf("%s uses %s, which is not in the scrape", of, name)
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d uses were found in the scrape", found)
	}
}
