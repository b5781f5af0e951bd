package flagd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Set is the flags of one stop of a plan at a time. It is not changed after Compile
// and safe for concurrent use.
type Set struct {
	Plan plan.Key
	Stop plan.Position
	// Hash of the definitions, which they also have as their version.
	Hash string
	// Flags in the order of their names.
	Flags []Flag

	source []byte
	salt   string
	index  map[string]int
}

// Flag is one of a Set.
type Flag struct {
	plan.FlagState
	// Metadata are told to applications: texts.
	Metadata map[string]string

	needs []int // flags that a caller must have on modern too
	// variants of an experiment and their buckets, in the order of the names.
	variants []weighted
}

type weighted struct {
	name   string
	weight int
}

// MaxBytes bounds the definitions, so that they fit into a ConfigMap.
const MaxBytes = 900_000

// Compile resolves the flags of a plan. It fails where the stop is not on the
// itinerary, and where the definitions are too large.
func Compile(p *plan.Plan, stop plan.Position, now time.Time) (*Set, error) {
	if p.Itinerary().Index(stop) < 0 {
		return nil, fmt.Errorf("render the flags of plan %q: stop %q is not on its itinerary %v", p.Key(), stop, p.Itinerary())
	}
	s := &Set{Plan: p.Key(), Stop: stop, salt: p.Salt(), index: map[string]int{}}
	for _, state := range p.FlagsAt(stop, now) {
		s.Flags = append(s.Flags, Flag{FlagState: state, Metadata: metadata(state), variants: variants(state.Flag)})
	}
	slices.SortFunc(s.Flags, func(a, b Flag) int { return compare(a.Flag.Name, b.Flag.Name) })
	for i := range s.Flags {
		s.index[s.Flags[i].Flag.Name] = i
	}
	for i := range s.Flags {
		for _, name := range s.Flags[i].Needs {
			s.Flags[i].needs = append(s.Flags[i].needs, s.index[name])
		}
	}
	if err := s.write(); err != nil {
		return nil, fmt.Errorf("render the flags of plan %q at %s: %w", p.Key(), stop, err)
	}
	return s, nil
}

// Definitions is the file that flagd reads.
func (s *Set) Definitions() []byte { return slices.Clone(s.source) }

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// The metadata of a flag. Its tags are there under their names after tagPrefix.
const (
	metaReason      = "reason" // why it is off
	metaBy          = "by"     // which flag turns it off
	metaDescription = "description"
	metaOwner       = "owner"
	tagPrefix       = "tag."
)

func metadata(s plan.FlagState) map[string]string {
	m := map[string]string{}
	for name, value := range map[string]string{
		metaReason: string(s.Off), metaBy: s.By, metaDescription: s.Flag.Description, metaOwner: s.Flag.Owner,
	} {
		if value != "" {
			m[name] = value
		}
	}
	for name, value := range s.Flag.Tags {
		m[tagPrefix+name] = value
	}
	return m
}

func variants(f *plan.Flag) (out []weighted) {
	for _, name := range slices.Sorted(maps.Keys(f.Variants)) {
		out = append(out, weighted{name, buckets(f.Variants[name])})
	}
	return out
}

// buckets of a percentage.
func buckets(p plan.Percent) int { return int(math.Round(float64(p) * 100)) }

// experiment reports whether callers on modern get one of several variants. Who has
// no key cannot be given one, and is on legacy.
func (f Flag) experiment() bool { return len(f.variants) > 0 }

// constant is the side of all callers by the flag's own rules and percent; ok is
// false where they differ, or a key is needed.
func (f Flag) constant() (side plan.Side, ok bool) {
	switch {
	case f.Off != "":
		return plan.Legacy, true
	case len(f.Flag.Targeting) > 0 || f.experiment():
	case f.Percent == 100:
		return plan.Modern, true
	case f.Percent == 0:
		return plan.Legacy, true
	}
	return "", false
}

// variantSalt salts the buckets by which the variants of an experiment are
// distributed: not those of its percent, which would fill one variant first.
func (s *Set) variantSalt(f Flag) string { return s.salt + "/" + f.Flag.Name }
