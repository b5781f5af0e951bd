package record

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/conformance"
)

var key = plan.Key{Namespace: "migrations", Name: "onap-so"}

// childEnv makes the test binary act as another process: its value says what
// that does, childDir where.
const (
	childEnv = "CHANGEOVER_RECORD_CHILD"
	childDir = "CHANGEOVER_RECORD_DIR"
)

func TestMain(m *testing.M) {
	switch dir := os.Getenv(childDir); os.Getenv(childEnv) {
	case "save":
		saveForever(dir)
	case "hold":
		holdLock(dir)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+what, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func mustOpen(t *testing.T, dir string) *Dir {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // some tests close it themselves
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks what an error is, and that it tells all of these things.
func wantError(t *testing.T, err, is error, texts ...string) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Fatalf("got error %v, want %v", err, is)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not tell %q", err, text)
		}
	}
}

func TestDirConforms(t *testing.T) {
	conformance.Recorder(t, func(t *testing.T) reconciler.Recorder { return mustOpen(t, t.TempDir()) })
}

func TestRecordsSurviveReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	d := mustOpen(t, dir)
	must(t, d.Save(t.Context(), key, conformance.SampleRecord(1)))
	must(t, d.Append(t.Context(), key, reconciler.Entry{Message: "one"}))
	must(t, d.Close())

	d = mustOpen(t, dir)
	must(t, d.Append(t.Context(), key, reconciler.Entry{Message: "two"}))
	got, ok, err := d.Load(t.Context(), key)
	if diff := cmp.Diff(conformance.SampleRecord(1), got); !ok || err != nil || diff != "" {
		t.Errorf("Load after reopening: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
	}
	h, err := d.History(t.Context(), key, 10)
	if err != nil || len(h) != 2 || h[0].Message != "one" || h[1].Message != "two" {
		t.Errorf("History after reopening: got %v, %v", h, err)
	}
}

func TestSecondDaemonIsRefusedAndToldWhoHoldsTheLock(t *testing.T) {
	dir := t.TempDir()
	holder := child(t, "hold", dir)
	out, err := holder.StdoutPipe()
	must(t, err)
	in, err := holder.StdinPipe()
	must(t, err)
	must(t, holder.Start())
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("wait for the holder: %v", err)
	}

	_, err = Open(dir)
	wantError(t, err, ErrLocked, dir, "process "+itoa(holder.Process.Pid))

	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatalf("open for reading beside a daemon: %v", err)
	}
	must(t, r.Close())

	must(t, holder.Process.Kill())
	must(t, in.Close())
	_ = holder.Wait() // it was killed
	must(t, mustOpen(t, dir).Close())
}

func TestLockHoldsWithinOneProcessUntilClose(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	_, err := Open(dir)
	wantError(t, err, ErrLocked, "process "+itoa(os.Getpid()))
	must(t, d.Close())
	mustOpen(t, dir)
}

func TestReadOnlyReadsButDoesNotWrite(t *testing.T) {
	dir := t.TempDir()
	must(t, mustOpen(t, dir).Save(t.Context(), key, conformance.SampleRecord(1)))
	before := tree(t, dir)
	r, err := OpenReadOnly(dir)
	must(t, err)
	defer r.Close()
	got, _, err := r.Load(t.Context(), key)
	if diff := cmp.Diff(conformance.SampleRecord(1), got); err != nil || diff != "" {
		t.Errorf("Load: error %v, (-want +got):\n%s", err, diff)
	}
	wantError(t, r.Save(t.Context(), key, decide.Record{}), ErrReadOnly)
	wantError(t, r.Append(t.Context(), key, reconciler.Entry{}), ErrReadOnly)
	wantError(t, r.SaveStatus(t.Context(), reconciler.Status{Key: key}), ErrReadOnly)
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("a reader changed the directory (-before +after):\n%s", diff)
	}
}

func TestReadOnlyOfAMissingDirectorySaysWhatToGive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	_, err := OpenReadOnly(dir)
	wantError(t, err, fs.ErrNotExist, dir, "--state-dir")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening for reading made the directory")
	}
}

func TestReadOnlyOfADirectoryWithoutPlansKnowsNothing(t *testing.T) {
	r, err := OpenReadOnly(t.TempDir())
	must(t, err)
	defer r.Close()
	keys, err := r.Keys(t.Context())
	if err != nil || len(keys) != 0 {
		t.Errorf("Keys: got %v, %v, want none", keys, err)
	}
}

func TestOnlyTheOwnerMayReadTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	d := mustOpen(t, dir)
	must(t, d.Save(t.Context(), key, decide.Record{}))
	must(t, d.SaveStatus(t.Context(), reconciler.Status{Key: key}))
	must(t, d.Append(t.Context(), key, reconciler.Entry{}))
	files := 0
	for name, mode := range tree(t, dir) {
		want := fs.FileMode(0o600)
		if mode.IsDir() {
			want = fs.ModeDir | 0o700
		} else {
			files++
		}
		if mode != want {
			t.Errorf("mode of %q: got %v, want %v", name, mode, want)
		}
	}
	if files != 4 {
		t.Errorf("got %d files, want lock, record, status and history", files)
	}
}

func TestKeysLeavesForeignFoldersAlone(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	must(t, d.Save(t.Context(), key, decide.Record{}))
	for _, name := range []string{"plans/lost+found/x", "plans/migrations/%zz", "plans/migrations/empty"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(dir, "plans/note"), nil, 0o600))
	keys, err := d.Keys(t.Context())
	if diff := cmp.Diff([]plan.Key{key}, keys); err != nil || diff != "" {
		t.Errorf("Keys: error %v, (-want +got):\n%s", err, diff)
	}
}

func TestAPlanFolderThatLeadsOutIsNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	d := mustOpen(t, dir)
	must(t, os.Symlink(outside, filepath.Join(dir, plansDir, key.Namespace)))
	if err := d.Save(t.Context(), key, decide.Record{}); err == nil {
		t.Error("Save through a link out of the directory: got no error")
	}
	if got := tree(t, outside); len(got) != 1 {
		t.Errorf("Save wrote outside of the directory: %v", got)
	}
}

func TestNamesThatAreTooLongAreRefused(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	err := d.Save(t.Context(), plan.Key{Namespace: "a", Name: strings.Repeat("b", 256)}, decide.Record{})
	wantError(t, err, err, "shorter name", "256")
	must(t, d.Save(t.Context(), plan.Key{Namespace: "a", Name: strings.Repeat("b", 255)}, decide.Record{}))
}

func FuzzFolderNames(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a/b", "onap-so", "%", "%41", "A", "\x00", "ü", "a.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := escape(s)
		if name == "." || name == ".." || name == "" || strings.ContainsAny(name, "/\\\x00") || name != strings.ToLower(name) {
			t.Errorf("escape(%q) = %q is no safe file name", s, name)
		}
		if back, ok := unescape(name); !ok || back != s {
			t.Errorf("unescape(%q) = %q, %v, want %q", name, back, ok, s)
		}
		if back, ok := unescape(s); ok && escape(back) != s {
			t.Errorf("unescape takes %q, which escape does not give", s)
		}
	})
}

// tree lists everything below a folder with its mode.
func tree(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	modes := map[string]fs.FileMode{}
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			modes[name] = info.Mode()
		}
		return err
	}))
	return modes
}
