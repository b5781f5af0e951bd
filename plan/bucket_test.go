package plan_test

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/spaolacci/murmur3"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
)

// The vectors were computed by another implementation of the formula.
func TestBucketsAreThePublishedOnes(t *testing.T) {
	var vectors []struct {
		Salt, Key string
		Hash      uint32
		Bucket    int
	}
	if err := json.Unmarshal(read(t, "testdata/buckets.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, v := range vectors {
		seen[v.Bucket] = true
		if got := plan.Bucket(v.Salt, v.Key); got != v.Bucket {
			t.Errorf("Bucket(%q, %q) = %d, want %d", v.Salt, v.Key, got, v.Bucket)
		}
	}
	if len(vectors) < 40 || !seen[0] || !seen[plan.Buckets-1] {
		t.Errorf("%d vectors; want at least 40, with the first and the last bucket among them", len(vectors))
	}
}

func TestBucketsAreThoseOfMurmur3(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		salt, key := rapid.String().Draw(t, "salt"), rapid.String().Draw(t, "key")
		h := murmur3.New32() // its Sum32 does not run under the race detector
		if _, err := h.Write([]byte(salt + ":" + key)); err != nil {
			t.Fatal(err)
		}
		if got, want := plan.Bucket(salt, key), int(uint64(h.Sum32())*10_000>>32); got != want {
			t.Fatalf("Bucket(%q, %q) = %d, want %d", salt, key, got, want)
		}
	})
}

func TestWhoIsOnModernStaysAtEveryHigherPercentage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bucket := plan.Bucket(rapid.String().Draw(t, "salt"), rapid.String().Draw(t, "key"))
		if bucket < 0 || bucket >= plan.Buckets {
			t.Fatalf("bucket %d", bucket)
		}
		hundredths := rapid.IntRange(0, 10_000)
		a, b := hundredths.Draw(t, "a"), hundredths.Draw(t, "b")
		low, high := plan.Percent(float64(min(a, b))/100), plan.Percent(float64(max(a, b))/100)
		if plan.OnModern(bucket, low) && !plan.OnModern(bucket, high) {
			t.Fatalf("bucket %d is on modern at %s and not at %s", bucket, low, high)
		}
		if plan.OnModern(bucket, 0) || !plan.OnModern(bucket, 100) {
			t.Fatalf("bucket %d: 0 %% must be nobody and 100 %% everybody", bucket)
		}
	})
}

// A percentage with two decimals is exactly so many buckets, whatever its
// binary form rounds to.
func TestEachHundredthOfAPercentIsOneBucket(t *testing.T) {
	for n := range plan.Buckets + 1 {
		p := plan.Percent(float64(n) / 100)
		if n > 0 && !plan.OnModern(n-1, p) || plan.OnModern(n, p) {
			t.Fatalf("at %s %% not just the first %d buckets are on modern", p, n)
		}
	}
}

func TestBucketsAreSpreadEvenly(t *testing.T) {
	const callers = 200_000
	on := 0
	for i := range callers {
		if plan.OnModern(plan.Bucket("orders", "caller-"+strconv.Itoa(i)), 25) {
			on++
		}
	}
	// Four standard deviations.
	if got, sigma := float64(on)/callers, math.Sqrt(0.25*0.75/callers); math.Abs(got-0.25) > 4*sigma {
		t.Errorf("%.4f of the callers are on modern at 25 %%", got)
	}
}

func TestSaltIsTheCohortOrTheName(t *testing.T) {
	p := &plan.Plan{Metadata: plan.Metadata{Name: "orders"}}
	if got := p.Salt(); got != "orders" {
		t.Errorf("salt %q without identity", got)
	}
	p.Spec.Identity = &plan.Identity{Header: "X-Tenant"}
	if got := p.Salt(); got != "orders" {
		t.Errorf("salt %q without cohort", got)
	}
	p.Spec.Identity.Cohort = "shop"
	if got := p.Salt(); got != "shop" {
		t.Errorf("salt %q with cohort", got)
	}
}
