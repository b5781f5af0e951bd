package git

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Each fetch leaves a pack, and each missing object is looked for in all of
// them. Beyond maxPacks the small ones are joined.
const (
	maxPacks  = 50
	smallPack = 8 << 20
)

// compactDisk joins the small packs of a store into one where there are many.
// No object is dropped, reachable or not: records may still name it. It is
// called by whoever holds the polling token.
func (s *store) compactDisk(dir string) error {
	s.mu.Lock()
	st, ok := s.st.(*filesystem.Storage)
	s.mu.Unlock()
	if !ok {
		return nil
	}
	small, objects, err := smallPacks(dir)
	if err != nil || len(small) <= maxPacks {
		return err
	}
	// A storage of its own reads and writes beside those who read now.
	joiner := diskStorage(dir)
	w, err := joiner.PackfileWriter()
	if err != nil {
		return fmt.Errorf("join packs: %w", err)
	}
	_, err = packfile.NewEncoder(w, joiner, false).Encode(objects, 10)
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("join packs: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, base := range small {
		// An index without its pack is no harm; the other way round is.
		for _, ext := range []string{".pack", ".idx"} {
			if err := os.Remove(base + ext); err != nil {
				return fmt.Errorf("join packs: %w", err)
			}
		}
	}
	st.Reindex()
	return nil
}

// smallPacks lists the small packs of a store, without their extension, and
// the objects in them.
func smallPacks(dir string) (bases []string, objects []plumbing.Hash, err error) {
	packs, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "pack-*.pack"))
	if err != nil || len(packs) <= maxPacks {
		return nil, nil, err
	}
	seen := map[plumbing.Hash]bool{}
	for _, p := range packs {
		info, err := os.Stat(p)
		if err != nil {
			return nil, nil, fmt.Errorf("join packs: %w", err)
		}
		if info.Size() > smallPack {
			continue
		}
		base := strings.TrimSuffix(p, ".pack")
		hashes, err := indexed(base + ".idx")
		if err != nil {
			return nil, nil, err
		}
		for _, h := range hashes {
			if !seen[h] {
				seen[h] = true
				objects = append(objects, h)
			}
		}
		bases = append(bases, base)
	}
	return bases, objects, nil
}

// indexed lists the objects of one pack.
func indexed(file string) ([]plumbing.Hash, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("join packs: %w", err)
	}
	defer f.Close()
	idx := idxfile.NewMemoryIndex()
	if err := idxfile.NewDecoder(f).Decode(idx); err != nil {
		return nil, fmt.Errorf("join packs: read %q: %w", file, err)
	}
	entries, err := idx.Entries()
	if err != nil {
		return nil, fmt.Errorf("join packs: read %q: %w", file, err)
	}
	var out []plumbing.Hash
	for {
		e, err := entries.Next()
		if err != nil {
			return out, nil // io.EOF: an index in memory has no other
		}
		out = append(out, e.Hash)
	}
}
