package bridge_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/bridge"
)

// startBridge starts the real command and returns its admin URL and a way to
// kill it.
func startBridge(t *testing.T, binary, file, admin string) (string, func()) {
	t.Helper()
	cmd := exec.Command(binary, "--config", file, "--listen", "127.0.0.1:0", "--admin", admin)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(kill)
	sc := bufio.NewScanner(stderr)
	for sc.Scan() {
		var line struct{ Msg, Admin string }
		_ = json.Unmarshal(sc.Bytes(), &line)
		if line.Msg == "listening" {
			go func() {
				for sc.Scan() { // keep the pipe empty
				}
			}()
			return line.Admin, kill
		}
	}
	t.Fatal("the bridge does not listen")
	return "", nil
}

func TestRealBridgesFollow(t *testing.T) {
	dir := t.TempDir()
	binary, file := filepath.Join(dir, "changeover-bridge"), filepath.Join(dir, "bridge.json")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/changeover-dev/changeover/cmd/changeover-bridge").CombinedOutput(); err != nil {
		t.Fatalf("build the bridge: %v\n%s", err, out)
	}
	one, _ := startBridge(t, binary, file, "127.0.0.1:0")
	two, kill := startBridge(t, binary, file, "127.0.0.1:0")
	g, err := bridge.New(bridge.Options{Store: bridge.File(file), Replicas: bridge.URLs{"http://" + one, "http://" + two}, Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	p := planOf("so")
	began := time.Now()
	const moves = 30
	for i := range moves {
		stop := p.Itinerary()[i%len(p.Itinerary())]
		if err := g.Apply(t.Context(), p, mark(stop)); err != nil {
			t.Fatal(err)
		}
		if s, err := g.Observe(t.Context(), p, stop); err != nil || !s.Serving || s.Mark.Stop != stop {
			t.Fatalf("after Apply of %s: %+v, error %v", stop, s, err)
		}
	}
	t.Logf("%d moves over two bridges, %s each", moves, (time.Since(began) / moves).Round(time.Microsecond))

	kill()
	if err := g.Apply(t.Context(), p, mark(at(25))); !errors.Is(err, bridge.ErrNotObserved) {
		t.Fatalf("error %v with a dead bridge, want %v", err, bridge.ErrNotObserved)
	}
	// Back on its address, it starts from the file that it missed.
	startBridge(t, binary, file, two)
	if err := g.Apply(t.Context(), p, mark(at(25))); err != nil {
		t.Fatal(err)
	}
}
