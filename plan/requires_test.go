package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

func TestARangeAllowsItsVersions(t *testing.T) {
	for _, c := range []struct {
		kubernetes string
		in, out    []string
	}{
		{"", []string{"v1.0.0", "v99.99.99"}, nil},
		{">=1.25", []string{"v1.25.0", "1.25.0-rc.1", "v1.36.1", "1.29.4-gke.100", "1.27+", "2.0", "v1.25"}, []string{"v1.24.17", "1.24+", "0.99.0"}},
		{">1.28", []string{"v1.29.0", "2.0.0"}, []string{"v1.28.15", "v1.28.0"}},
		{"<=1.28", []string{"v1.28.15", "v1.9.0"}, []string{"v1.29.0"}},
		{"<1.28", []string{"v1.27.99", "v1.3"}, []string{"v1.28.0"}},
		{"=1.28", []string{"v1.28.0", "v1.28.15", "1.28+"}, []string{"v1.27.9", "v1.29.0"}},
		{"=1.28.3", []string{"v1.28.3", "1.28.3+k3s1"}, []string{"v1.28.4", "1.28+"}},
		{">1.28.3", []string{"v1.28.4", "v1.29.0"}, []string{"v1.28.3", "v1.28.3-eks-1"}},
		{"<=1.28.3", []string{"v1.28.3", "v1.27.30"}, []string{"v1.28.4"}},
		{">=1.25 <1.34", []string{"v1.25.0", "v1.33.9"}, []string{"v1.34.0", "v1.24.0"}},
		{">= 1.25,<1.34", []string{"v1.33.9"}, []string{"v1.34.0"}},
		{" >=v1.25 , <= 1.30.2 ", []string{"v1.30.2"}, []string{"v1.30.3"}},
		{">=1.30 <1.25", nil, []string{"v1.27.0"}},
	} {
		r := &plan.Requires{Kubernetes: c.kubernetes}
		for _, v := range slices.Concat(c.in, c.out) {
			got, err := r.Allows(v)
			if want := slices.Contains(c.in, v); err != nil || got != want {
				t.Errorf("%q allows %s: %v, %v; want %v", c.kubernetes, v, got, err, want)
			}
		}
	}
	var none *plan.Requires
	if ok, err := none.Allows("anything"); !ok || err != nil {
		t.Errorf("what requires nothing allows: %v, %v", ok, err)
	}
}

func TestWhatIsNoRangeOrVersionIsAnError(t *testing.T) {
	for _, r := range []string{"1.25", ">=1", ">=1.x", "~1.25", "^1.25", ">=1.25 ||", ">=1.25<1.30", "=>1.25", ">=1.25.1.1", ",", ">=1.25-rc", "latest", ">=99999999.0"} {
		if ok, err := (&plan.Requires{Kubernetes: r}).Allows("v1.30.0"); ok || err == nil || !strings.HasPrefix(err.Error(), "parse range") {
			t.Errorf("range %q: %v, %v", r, ok, err)
		}
	}
	for _, v := range []string{"", "v", "1", "1.x", "latest", "v1.30.0 ", "1.30.0\n", "v1.30.0.1", "-1.30"} {
		if ok, err := (&plan.Requires{Kubernetes: ">=1.25"}).Allows(v); ok || err == nil || !strings.HasPrefix(err.Error(), "parse version") {
			t.Errorf("version %q: %v, %v", v, ok, err)
		}
	}
}

func TestAnAPIIsReadInBothForms(t *testing.T) {
	for s, want := range map[string][3]string{
		"v1/ConfigMap":                            {"", "v1", "ConfigMap"},
		"apps/v1/Deployment":                      {"apps", "v1", "Deployment"},
		"gateway.networking.k8s.io/v1/HTTPRoute":  {"gateway.networking.k8s.io", "v1", "HTTPRoute"},
		"nephoran.com/v1alpha1/NetworkIntent":     {"nephoran.com", "v1alpha1", "NetworkIntent"},
		"snapshot.storage.k8s.io/v1/VolumeSnap01": {"snapshot.storage.k8s.io", "v1", "VolumeSnap01"},
	} {
		group, version, kind, err := plan.ParseAPI(s)
		if got := [3]string{group, version, kind}; got != want || err != nil {
			t.Errorf("%s is %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "/", "//", "Deployment", "apps/v1", "apps/v1/", "/v1/ConfigMap", "apps/V1/Deployment", "apps/v1/Deployment/x", "a b/v1/Kind", "apps/v1/Deploy ment", strings.Repeat("a", 254) + "/v1/Kind"} {
		if group, version, kind, err := plan.ParseAPI(s); err == nil || group+version+kind != "" {
			t.Errorf("%q is read as %q %q %q", s, group, version, kind)
		}
	}
}

// FuzzAllows: no text makes it panic, and a range allows a version just where
// each of its bounds does.
func FuzzAllows(f *testing.F) {
	f.Add(">=1.25", "<1.30.2", "v1.29.4-gke.100")
	f.Add("=1.28", "", "1.28+")
	f.Add(",", "> 1.2", "v1.36.1")
	f.Fuzz(func(t *testing.T, a, b, version string) {
		left, errLeft := (&plan.Requires{Kubernetes: a}).Allows(version)
		right, errRight := (&plan.Requires{Kubernetes: b}).Allows(version)
		if errLeft != nil || errRight != nil {
			return
		}
		both, err := (&plan.Requires{Kubernetes: a + " , " + b}).Allows(version)
		if a+b == "" {
			return
		}
		if err != nil || both != (left && right) {
			t.Fatalf("%q allows %q: %v, %q: %v, both: %v, %v", a, version, left, b, right, both, err)
		}
	})
}
