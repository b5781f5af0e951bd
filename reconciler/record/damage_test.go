package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/conformance"
)

func itoa(n int) string { return strconv.Itoa(n) }

// saved is a directory with a record, and the record's file.
func saved(t *testing.T) (d *Dir, file string, content []byte) {
	t.Helper()
	dir := t.TempDir()
	d = mustOpen(t, dir)
	must(t, d.Save(t.Context(), key, conformance.SampleRecord(1)))
	file = filepath.Join(dir, plansDir, key.Namespace, key.Name, recordFile)
	content, err := os.ReadFile(file)
	must(t, err)
	return d, file, content
}

func TestATornRecordIsAnErrorAtEveryLength(t *testing.T) {
	d, file, content := saved(t)
	for n := range len(content) - 1 { // without its line end it is whole
		must(t, os.WriteFile(file, content[:n], 0o600))
		rec, ok, err := d.Load(t.Context(), key)
		if err == nil || ok || rec.Applied != nil {
			t.Fatalf("Load of the first %d of %d bytes: got %v, ok %v, want an error", n, len(content), rec, ok)
		}
		wantError(t, err, ErrDamaged, file, key.String(), "rebuilt from Git")
	}
}

func TestAChangedByteNeverGivesAnotherRecord(t *testing.T) {
	d, file, content := saved(t)
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 1
		must(t, os.WriteFile(file, changed, 0o600))
		rec, ok, err := d.Load(t.Context(), key)
		if err != nil && !ok {
			continue
		}
		if diff := cmp.Diff(conformance.SampleRecord(1), rec); diff != "" {
			t.Fatalf("Load with byte %d changed from %q to %q gives another record:\n%s", i, content[i], changed[i], diff)
		}
	}
}

func TestARecordThatWasOnlyLaidOutAnewIsGood(t *testing.T) {
	d, file, content := saved(t)
	var compact bytes.Buffer
	must(t, json.Compact(&compact, content))
	must(t, os.WriteFile(file, compact.Bytes(), 0o600))
	rec, _, err := d.Load(t.Context(), key)
	if diff := cmp.Diff(conformance.SampleRecord(1), rec); err != nil || diff != "" {
		t.Errorf("Load: error %v, (-want +got):\n%s", err, diff)
	}
}

func TestWhatIsNotThePlansRecordIsRefused(t *testing.T) {
	other := plan.Key{Namespace: "migrations", Name: "nephoran"}
	sealed := func(kind string, key plan.Key, v any) []byte {
		b, err := seal(kind, key, v)
		must(t, err)
		return b
	}
	for name, c := range map[string]struct {
		content []byte
		is      error
		tells   string
	}{
		"nothing":          {nil, ErrDamaged, "empty"},
		"null":             {[]byte("null"), ErrFormat, "format 0"},
		"empty object":     {[]byte("{}"), ErrFormat, "format 0"},
		"zeros":            {make([]byte, 4096), ErrDamaged, "invalid character"},
		"another plan's":   {sealed(kindRecord, other, decide.Record{}), ErrDamaged, "belongs to plan migrations/nephoran"},
		"a status":         {sealed(kindStatus, key, reconciler.Status{}), ErrDamaged, "holds a status"},
		"trailing":         {append(sealed(kindRecord, key, decide.Record{}), '{'), ErrDamaged, "after top-level value"},
		"newer format":     {[]byte(`{"format": 2, "content": "unheard of"}`), ErrFormat, "run the version that wrote it"},
		"unknown field":    {sealed(kindRecord, key, map[string]any{"armed": true}), ErrFormat, `unknown field "armed"`},
		"unknown envelope": {[]byte(`{"format": 1, "extra": 1}`), ErrDamaged, `unknown field "extra"`},
		"too large":        {bytes.Repeat([]byte(" "), maxFile+1), ErrDamaged, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			d, file, _ := saved(t)
			must(t, os.WriteFile(file, c.content, 0o600))
			_, ok, err := d.Load(t.Context(), key)
			if ok {
				t.Error("Load: got a record")
			}
			wantError(t, err, c.is, file, c.tells)
		})
	}
}

func TestARecordOverTheBoundIsRefusedAndTheOldOneStays(t *testing.T) {
	d, _, _ := saved(t)
	big := decide.Record{Halt: &decide.HaltOf{Message: strings.Repeat("x", maxFile)}}
	err := d.Save(t.Context(), key, big)
	wantError(t, err, err, "more than the bound")
	rec, ok, err := d.Load(t.Context(), key)
	if diff := cmp.Diff(conformance.SampleRecord(1), rec); !ok || err != nil || diff != "" {
		t.Errorf("Load: ok %v, error %v, (-want +got):\n%s", ok, err, diff)
	}
}

func TestADamagedStatusMayBeDeleted(t *testing.T) {
	d, file, _ := saved(t)
	must(t, d.SaveStatus(t.Context(), reconciler.Status{Key: key}))
	file = filepath.Join(filepath.Dir(file), statusFile)
	must(t, os.WriteFile(file, []byte("{"), 0o600))
	_, _, err := d.LoadStatus(t.Context(), key)
	wantError(t, err, ErrDamaged, file, "delete it")
}

func TestWritingRecoversWhenTheFolderWasDeleted(t *testing.T) {
	d, file, _ := saved(t)
	for name, write := range map[string]func() error{
		"Save":   func() error { return d.Save(t.Context(), key, decide.Record{}) },
		"Append": func() error { return d.Append(t.Context(), key, reconciler.Entry{}) },
	} {
		must(t, write())
		must(t, os.RemoveAll(filepath.Dir(file)))
		if write() == nil {
			t.Errorf("%s into a deleted folder: got no error", name)
		}
		if err := write(); err != nil {
			t.Errorf("%s the second time: %v", name, err)
		}
	}
}

// history is a directory with n entries, and the file they are in.
func history(t *testing.T, n int) (d *Dir, file string) {
	t.Helper()
	dir := t.TempDir()
	d = mustOpen(t, dir)
	for i := range n {
		must(t, d.Append(t.Context(), key, reconciler.Entry{Message: itoa(i)}))
	}
	return d, filepath.Join(dir, plansDir, key.Namespace, key.Name, historyFile)
}

func messages(t *testing.T, d *Dir) string {
	t.Helper()
	h, err := d.History(t.Context(), key, 1000)
	must(t, err)
	var all []string
	for _, e := range h {
		all = append(all, e.Message)
	}
	return strings.Join(all, " ")
}

func TestATornLastLineOfTheHistoryIsRepaired(t *testing.T) {
	for name, torn := range map[string]string{
		"half a line":            `{"at":"2026-03-01T12:0`,
		"zeros":                  "\x00\x00\x00\x00",
		"its start did not land": "\x00\x00\x00\x00\"}\n",
		"whole but for its end":  `{"message":"2"}`,
	} {
		t.Run(name, func(t *testing.T) {
			d, file := history(t, 2)
			must(t, d.Close())
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString(torn)
			must(t, err)
			must(t, f.Close())

			d = mustOpen(t, filepath.Join(filepath.Dir(file), "../../.."))
			if got := messages(t, d); got != "0 1" {
				t.Errorf("before the repair: got %q, want %q", got, "0 1")
			}
			must(t, d.Append(t.Context(), key, reconciler.Entry{Message: "3"}))
			must(t, d.Append(t.Context(), key, reconciler.Entry{Message: "4"}))
			if got := messages(t, d); got != "0 1 3 4" {
				t.Errorf("after the repair: got %q, want %q", got, "0 1 3 4")
			}
		})
	}
}

func TestADamagedLineWithinTheHistoryIsNamed(t *testing.T) {
	d, file := history(t, 5)
	b, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, bytes.Replace(b, []byte(`"message":"2"`), []byte(`"message":"2`), 1), 0o600))
	_, err = d.History(t.Context(), key, 10)
	wantError(t, err, ErrDamaged, file, "line 3", "delete that line")
	h, err := d.History(t.Context(), key, 2)
	if err != nil || len(h) != 2 {
		t.Errorf("History of what is whole: got %v, %v", h, err)
	}
	must(t, d.Append(t.Context(), key, reconciler.Entry{Message: "5"}))
}

func TestTheHistoryFileStaysSmall(t *testing.T) {
	d, file := history(t, maxEntries+slack-1)
	lines := func() int {
		b, err := os.ReadFile(file)
		must(t, err)
		return bytes.Count(b, []byte("\n"))
	}
	if got := lines(); got != maxEntries+slack-1 {
		t.Fatalf("got %d lines before it is rewritten", got)
	}
	must(t, d.Append(t.Context(), key, reconciler.Entry{Message: "last"}))
	if got := lines(); got != maxEntries {
		t.Errorf("got %d lines after it was rewritten, want %d", got, maxEntries)
	}
	if got := messages(t, d); !strings.HasPrefix(got, "100 101 ") || !strings.HasSuffix(got, " 598 last") {
		t.Errorf("rewriting kept the wrong ones: %.20q...", got)
	}
}

func TestTheHistoryIsBoundedInBytesToo(t *testing.T) {
	d, file := history(t, 0)
	for i := range 30 {
		must(t, d.Append(t.Context(), key, reconciler.Entry{Message: fmt.Sprint(i, strings.Repeat(" ", maxEntry/2))}))
		info, err := os.Stat(file)
		must(t, err)
		if info.Size() > maxHistory {
			t.Fatalf("the file has %d bytes after %d entries", info.Size(), i+1)
		}
	}
	h, err := d.History(t.Context(), key, 4)
	if err != nil || len(h) != 4 || !strings.HasPrefix(h[3].Message, "29") {
		t.Errorf("the newest four: got %d entries, error %v", len(h), err)
	}
	err = d.Append(t.Context(), key, reconciler.Entry{Message: strings.Repeat(" ", maxEntry)})
	wantError(t, err, err, "more than the bound")
}

func FuzzLoad(f *testing.F) {
	b, err := seal(kindRecord, key, conformance.SampleRecord(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"format":1,"kind":"record","key":{},"sum":"","data":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec decide.Record
		if err := unseal(b, kindRecord, key, &rec); err != nil {
			return
		}
		again, err := seal(kindRecord, key, rec)
		must(t, err)
		var back decide.Record
		must(t, unseal(again, kindRecord, key, &back))
		if diff := cmp.Diff(rec, back); diff != "" {
			t.Errorf("what was read is not what is written (-read +written):\n%s", diff)
		}
	})
}
