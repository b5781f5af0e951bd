package backup

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// The files of a backup.
const (
	fileObjects  = "objects.jsonl.gz"
	fileSecrets  = "secrets.jsonl.gz.age"
	fileIndex    = "index.jsonl.gz"
	fileManifest = "backup.json"
	// fileRestored is beside a backup that a backward move has restored.
	fileRestored = "restored.json"
)

// format of the manifests that this version writes, and reads.
const format = 1

// Manifest says what a backup is. It is written last.
type Manifest struct {
	Format int      `json:"format"`
	Name   string   `json:"name"`
	Plan   plan.Key `json:"plan"`
	// Phase before which it was made.
	Phase string `json:"phase"`
	// Revision whose move it was made for; empty: made by hand.
	Revision  plan.Revision `json:"revision,omitempty"`
	Begun     time.Time     `json:"begun"`
	Ended     time.Time     `json:"ended"`
	Retention plan.Duration `json:"retention"`
	// Objects that it has.
	Objects int    `json:"objects"`
	Kinds   []Kind `json:"kinds"`
	// Bytes of all files but the manifest.
	Bytes int64 `json:"bytes"`
	Files Files `json:"files"`
	// Digest is a SHA-256 over the rest of the manifest, and with it over all.
	Digest string `json:"digest"`
}

// Kind is what was found of one entry of a plan's list.
type Kind struct {
	plan.BackupKind
	Objects int `json:"objects"`
	// Leaving are those that were being deleted: they were not saved.
	Leaving int `json:"leaving,omitempty"`
	// Changing: the pages are not all of one moment, as listing took longer
	// than the API server remembers.
	Changing bool `json:"changing,omitempty"`
}

// Files of a backup.
type Files struct {
	Objects File `json:"objects"`
	Index   File `json:"index"`
	// Secrets is nil where there are none.
	Secrets *File `json:"secrets,omitempty"`
}

// File is one of them.
type File struct {
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	Objects int    `json:"objects"`
	// Groups of objects, each compressed by itself, one after the other.
	Groups []Group `json:"groups,omitempty"`
}

// Group is a part of a file.
type Group struct {
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	Objects int    `json:"objects"`
}

// Entry of the index is one object.
type Entry struct {
	ID
	UID string `json:"uid"`
	// SHA256 of its line, and Body of the line without its status; of a Secret
	// with a salt that only the recipients have, as a short one could be
	// guessed.
	SHA256 string `json:"sha256"`
	Body   string `json:"body,omitempty"` // where it differs
	Sealed bool   `json:"sealed,omitempty"`
}

func (e Entry) sums() sums {
	if e.Body == "" {
		return sums{e.SHA256, e.SHA256}
	}
	return sums{e.SHA256, e.Body}
}

// seal returns the manifest with its digest, encoded.
func (m *Manifest) encode() ([]byte, error) {
	sum, err := m.sum()
	if err != nil {
		return nil, err
	}
	m.Digest = sum
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

func (m *Manifest) sum() (string, error) {
	c := *m
	c.Digest = ""
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode the manifest: %w", err)
	}
	return digest(b), nil
}

// readManifest decodes one, and refuses one that was changed.
func readManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s is damaged: it is no JSON", fileManifest)
	}
	if m.Format != format {
		return m, fmt.Errorf("%s has format %d, and this version of Changeover reads %d", fileManifest, m.Format, format)
	}
	if sum, err := m.sum(); err != nil || sum != m.Digest {
		return m, fmt.Errorf("%s is damaged: it is not what was written", fileManifest)
	}
	return m, nil
}

// Total is the number of objects that the files should have.
func (m *Manifest) Total() int { return m.Objects }
