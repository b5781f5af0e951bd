package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/counts"
)

// writerEnv names the folder that a child process writes to until it is killed.
const writerEnv = "CHANGEOVER_TEST_WRITER"

// version is the content of the folder number n: how many files it has, and
// what is in them, tells n.
func version(n int) map[string][]byte {
	files := map[string][]byte{}
	for i := range 3 + n%5 {
		files[fmt.Sprintf("%d.yaml", i)] = bytes.Repeat([]byte{byte('a' + n%26)}, 1000)
	}
	return files
}

// whole reports whether the files are one version.
func whole(files map[string][]byte) bool {
	for n := range 5 * 26 {
		if maps.EqualFunc(files, version(n), slices.Equal) {
			return true
		}
	}
	return false
}

func writeForEver() {
	f, err := openFolder(os.Getenv(writerEnv), 0o644)
	if err != nil {
		panic(err)
	}
	if os.Getenv(writerEnv+"_PLAIN") != "" {
		f.exchange = func(_, _ string) error { return errors.ErrUnsupported }
	}
	for n := os.Getpid(); ; n++ {
		if err := f.write(context.Background(), shop, version(n), ""); err != nil {
			panic(err)
		}
		fmt.Println(n)
	}
}

// A writer that is killed at any moment leaves one version or the next, whole;
// where the file system cannot exchange folders, once it is opened again.
func TestAKilledWriterLeavesOldOrNew(t *testing.T) {
	for _, plain := range []string{"", "yes"} {
		t.Run("without exchange: "+plain, func(t *testing.T) {
			root := t.TempDir()
			seen := map[string]bool{}
			kills := counts.Of(40, 10)
			for i := range kills {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), writerEnv+"="+root, writerEnv+"_PLAIN="+plain)
				var said bytes.Buffer
				cmd.Stderr = &said
				written, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				ended, err := child.Start(cmd, syscall.SIGKILL)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := written.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(i) * 28 * time.Millisecond / time.Duration(kills))
				_ = cmd.Process.Kill()
				<-ended
				if said.Len() > 0 {
					t.Fatal(said.String())
				}
				if plain == "" {
					files := filesIn(t, filepath.Join(root, shop.Namespace, shop.Name))
					if len(files) > 0 && !whole(asBytes(files)) {
						t.Fatalf("after kill %d: %d files of no version", i, len(files))
					}
				}
				f, err := openFolder(root, 0o644)
				if err != nil {
					t.Fatal(err)
				}
				files, err := f.read(t.Context(), shop)
				if err != nil {
					t.Fatal(err)
				}
				if len(files) > 0 && !whole(files) {
					t.Fatalf("after kill %d and opening: %d files of no version", i, len(files))
				}
				if len(files) == 0 && len(seen) > 0 {
					t.Fatalf("after kill %d and opening: nothing is left", i)
				}
				if len(files) > 0 {
					seen[fmt.Sprint(len(files), string(files["0.yaml"][:1]))] = true
				}
				if left, err := os.ReadDir(filepath.Join(root, workFolder)); err != nil || len(left) != 0 {
					t.Fatalf("left over: %v, %v", left, err)
				}
			}
			if len(seen) < kills/8 {
				t.Errorf("only %d versions were ever seen", len(seen))
			}
		})
	}
}

func asBytes(files map[string]string) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range files {
		out[k] = []byte(v)
	}
	return out
}

// Whoever looks while it is written finds the folder there.
func TestTheFolderIsNeverGone(t *testing.T) {
	root := t.TempDir()
	f, err := openFolder(root, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.write(t.Context(), shop, version(0), ""); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var writes atomic.Int64
	go func() {
		for n := 1; ; n++ {
			if err := f.write(ctx, shop, version(n), ""); err != nil {
				done <- err
				return
			}
			writes.Add(1)
		}
	}()
	var missing error
	for writes.Load() < 200 && missing == nil && len(done) == 0 {
		if _, err := os.Stat(filepath.Join(f.at(shop), "0.yaml")); err != nil {
			missing = err
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if missing != nil {
		t.Fatalf("there was a moment without the folder: %v", missing)
	}
}

func TestACrashBetweenTwoRenamesIsPutRight(t *testing.T) {
	root := t.TempDir()
	f, err := openFolder(root, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.write(t.Context(), shop, version(3), ""); err != nil {
		t.Fatal(err)
	}
	other := plan.Key{Namespace: "shop-ns", Name: "other"}
	if err := f.write(t.Context(), other, version(4), ""); err != nil {
		t.Fatal(err)
	}
	// As it stands then: the old one away, the next one whole beside.
	if err := os.Rename(f.at(shop), f.work(shop, "old")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{f.work(shop, "next"), f.work(other, "old")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if f, err = openFolder(root, 0o644); err != nil {
		t.Fatal(err)
	}
	for key, n := range map[plan.Key]int{shop: 3, other: 4} {
		files, err := f.read(t.Context(), key)
		if err != nil || !maps.EqualFunc(files, version(n), slices.Equal) {
			t.Errorf("%s: %d files, %v", key, len(files), err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(root, workFolder)); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestAWriteThatFailsLeavesWhatWas(t *testing.T) {
	root := t.TempDir()
	f, err := openFolder(root, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.write(t.Context(), shop, version(3), ""); err != nil {
		t.Fatal(err)
	}
	bad := version(4)
	bad[strings.Repeat("x", 300)] = nil
	if err := f.write(t.Context(), shop, bad, ""); err == nil {
		t.Fatal("a name of 300 bytes was written")
	}
	files, err := f.read(t.Context(), shop)
	if err != nil || !maps.EqualFunc(files, version(3), slices.Equal) {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := f.write(t.Context(), shop, version(5), ""); err != nil {
		t.Errorf("the next try: %v", err)
	}
}
