package plan

import (
	"math"
	"math/bits"
)

// Buckets is the number of buckets: one for each hundredth of a percent.
const Buckets = 10_000

// Bucket puts a caller into one of the buckets 0 to 9999. It depends on
// nothing but the salt and the caller's key, so every side of a migration
// computes the same one; testdata/buckets.json holds vectors for others who
// implement it.
func Bucket(salt, key string) int {
	return int(uint64(murmur3(salt+":"+key)) * Buckets >> 32)
}

// murmur3 is MurmurHash3_x86_32 with seed 0. It stands here because the common
// package walks its input by raw addresses, which the race detector rejects and
// a moving stack would break.
func murmur3(s string) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	var h uint32
	mix := func(k uint32) { h ^= bits.RotateLeft32(k*c1, 15) * c2 }
	n := uint32(len(s))
	for ; len(s) >= 4; s = s[4:] {
		mix(uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24)
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	if len(s) > 0 {
		var k uint32
		for i := range len(s) {
			k |= uint32(s[i]) << (8 * i)
		}
		mix(k)
	}
	h ^= n
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
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
