package bridge_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/changeover-dev/changeover/reconciler/bridge"
	"github.com/changeover-dev/changeover/test/conformance"
)

// TestConformance runs the gateway's suite against the real command.
func TestConformance(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "changeover-bridge")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/changeover-dev/changeover/cmd/changeover-bridge").CombinedOutput(); err != nil {
		t.Fatalf("build the bridge: %v\n%s", err, out)
	}
	conformance.Traffic(t, func(t *testing.T) conformance.Gateway {
		file := filepath.Join(t.TempDir(), "bridge.json")
		admin, _ := startBridge(t, binary, file, "127.0.0.1:0")
		g, err := bridge.New(bridge.Options{Store: bridge.File(file), Replicas: bridge.URLs{"http://" + admin}})
		if err != nil {
			t.Fatal(err)
		}
		return conformance.Gateway{Traffic: g, Plan: planOf("so")}
	})
}
