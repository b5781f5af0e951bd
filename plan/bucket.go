package plan

import (
	"math"

	"github.com/spaolacci/murmur3"
)

// Buckets is the number of buckets: one for each hundredth of a percent.
const Buckets = 10_000

// Bucket puts a caller into one of the buckets 0 to 9999. It depends on
// nothing but the salt and the caller's key, so every side of a migration
// computes the same one; testdata/buckets.json holds vectors for others who
// implement it.
func Bucket(salt, key string) int {
	return int(uint64(murmur3.Sum32([]byte(salt+":"+key))) * Buckets >> 32)
}

// OnModern reports whether a caller in that bucket is on modern at p. It is
// monotone: whoever is on modern at one percentage is so at every higher one.
func OnModern(bucket int, p Percent) bool {
	return bucket < int(math.Round(float64(p)*100))
}

// Salt is what the plan's buckets are salted with: the cohort of its identity,
// by default its name. Plans with equal salts keep a caller on one side.
func (p *Plan) Salt() string {
	if id := p.Spec.Identity; id != nil && id.Cohort != "" {
		return id.Cohort
	}
	return p.Metadata.Name
}
