package promtest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/child"
)

// StartAlertmanager runs an Alertmanager on a port of the loopback interface, with
// its data in a temporary directory, and returns its URL when it is ready. It is
// stopped when the test ends. One that is not installed fails the test.
func StartAlertmanager(t testing.TB, config string) string {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Fatalf("find prometheus-alertmanager: %v; install the package of that name", err)
	}
	dir, addr := t.TempDir(), child.FreeAddr(t)
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log logBuffer
	cmd := exec.Command(path, "--config.file="+file, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--cluster.listen-address=", "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &log, &log
	done, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatalf("start alertmanager: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-done
	})
	client := http.Client{Timeout: time.Second}
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-done:
			t.Fatalf("alertmanager ended:\n%s", log.String())
		default:
		}
		if resp, err := client.Get("http://" + addr + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return "http://" + addr
			}
		}
	}
	t.Fatalf("alertmanager is not ready after %s:\n%s", startTimeout, log.String())
	return ""
}
