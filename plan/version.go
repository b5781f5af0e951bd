package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Revision is the full object name of a Git commit, in lower-case hex.
type Revision string

// Short is the form for people: the first ten digits.
func (r Revision) Short() string {
	if len(r) > 10 {
		return string(r[:10])
	}
	return string(r)
}

// Digest names content: `sha256:` and the hex sum of a canonical encoding.
type Digest string

// Version is a plan as it stands at one revision.
type Version struct {
	Plan     *Plan    `json:"plan"`
	Revision Revision `json:"revision"`
	// Path of the plan's file at that revision, with slashes.
	Path string `json:"path"`
	// Content is everything that the plan reads but its position and suspend.
	Content Digest `json:"content"`
	// Live is the part of the content that changes routes, flags, backends
	// or cluster.
	Live Digest `json:"live"`
}

// IsZero reports whether there is no plan.
func (v Version) IsZero() bool { return v.Plan == nil }

// Read is a file that a plan reads beside its own: a part of a kustomization.
type Read struct {
	Path string `json:"path"` // with slashes, from the repository's root
	// ID names the file's mode and content, as Git does.
	ID string `json:"id"`
}

// Reading folds the files that the plan reads, in any order, into the digests:
// they are content, and live. Without files the version is as it was.
func (v Version) Reading(files []Read) Version {
	if len(files) == 0 {
		return v
	}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b Read) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.ID, b.ID)) })
	files = slices.Compact(files)
	fold := func(d Digest) Digest {
		h := sha256.New()
		fmt.Fprintf(h, "%s\n", d)
		for _, f := range files {
			fmt.Fprintf(h, "%q %q\n", f.Path, f.ID)
		}
		return Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	}
	v.Content, v.Live = fold(v.Content), fold(v.Live)
	return v
}
