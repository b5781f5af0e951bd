package plan_test

import (
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

func BenchmarkDecodeAndValidate(b *testing.B) {
	src := read(b, "testdata/good/full.good.yaml")
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := plan.Decode("plan.yaml", src); len(problems) > 0 {
			b.Fatal(problems[0])
		}
	}
}

func BenchmarkDigests(b *testing.B) {
	p := good(b, string(read(b, "testdata/good/full.good.yaml")))
	b.ReportAllocs()
	for b.Loop() {
		plan.ContentDigest(p)
		plan.LiveDigest(p)
	}
}

func BenchmarkSetPosition(b *testing.B) {
	src := read(b, "testdata/good/full.good.yaml")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plan.SetPosition(src, plan.Position{Phase: "gradual", Percent: 50}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBucket(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		plan.Bucket("orders", "tenant-1234")
	}
}
