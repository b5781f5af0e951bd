package bridgeconfig

import (
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
)

func endpoint(pod string, ready *bool, addresses ...string) discovery.Endpoint {
	e := discovery.Endpoint{Addresses: addresses, Conditions: discovery.EndpointConditions{Ready: ready}}
	if pod != "" {
		e.TargetRef = &core.ObjectReference{Kind: "Pod", Name: pod}
	}
	return e
}

func slice(family discovery.AddressType, port int32, name string, endpoints ...discovery.Endpoint) discovery.EndpointSlice {
	return discovery.EndpointSlice{AddressType: family, Ports: []discovery.EndpointPort{{Name: &name, Port: &port}}, Endpoints: endpoints}
}

func TestEveryReadyEndpointIsAsked(t *testing.T) {
	yes, no := true, false
	v4, v6 := discovery.AddressTypeIPv4, discovery.AddressTypeIPv6
	for what, c := range map[string]struct {
		port  int
		given []discovery.EndpointSlice
		want  []string
		err   string
	}{
		"ready and not": {given: []discovery.EndpointSlice{slice(v4, 8081, "admin", endpoint("b", &yes, "10.0.0.2"), endpoint("c", &no, "10.0.0.3"), endpoint("a", nil, "10.0.0.1"))},
			want: []string{"http://10.0.0.1:8081", "http://10.0.0.2:8081"}},
		"several slices, with ports of their own": {given: []discovery.EndpointSlice{slice(v4, 2, "admin", endpoint("a", &yes, "10.0.0.1")), slice(v4, 1, "admin", endpoint("b", &yes, "10.0.0.2"))},
			want: []string{"http://10.0.0.1:2", "http://10.0.0.2:1"}},
		"two families": {given: []discovery.EndpointSlice{slice(v6, 1, "admin", endpoint("a", &yes, "fd00::1"), endpoint("b", &yes, "fd00::2")), slice(v4, 1, "admin", endpoint("a", &yes, "10.0.0.1"))},
			want: []string{"http://10.0.0.1:1", "http://[fd00::2]:1"}},
		"no pods": {given: []discovery.EndpointSlice{slice(v4, 1, "admin", endpoint("", &yes, "10.0.0.1"), endpoint("", &yes, "10.0.0.2"))},
			want: []string{"http://10.0.0.1:1", "http://10.0.0.2:1"}},
		"twice":           {given: []discovery.EndpointSlice{slice(v4, 1, "admin", endpoint("a", &yes, "10.0.0.1")), slice(v4, 1, "admin", endpoint("a", &yes, "10.0.0.1"))}, want: []string{"http://10.0.0.1:1"}},
		"a number":        {port: 9, given: []discovery.EndpointSlice{slice(v4, 1, "other", endpoint("a", &yes, "10.0.0.1"))}, want: []string{"http://10.0.0.1:9"}},
		"no such port":    {given: []discovery.EndpointSlice{slice(v4, 1, "other", endpoint("a", &yes, "10.0.0.1"))}, err: `no port named "admin"`},
		"none ready":      {given: []discovery.EndpointSlice{slice(v4, 1, "other", endpoint("a", &no, "10.0.0.1"))}, err: "no ready endpoint"},
		"nothing":         {err: "no ready endpoint"},
		"without address": {given: []discovery.EndpointSlice{slice(v4, 1, "admin", endpoint("a", &yes))}, err: "no ready endpoint"},
		"too many": {port: 1, given: slices.Collect(func(yield func(discovery.EndpointSlice) bool) {
			var all []discovery.Endpoint
			for i := range maxReplicas + 1 {
				all = append(all, endpoint("", &yes, strings.Repeat("x", i+1)))
			}
			yield(slice(discovery.AddressTypeFQDN, 1, "", all...))
		}), err: "at most 1000"},
	} {
		s := &Service{namespace: "edge", name: "so", port: c.port}
		got, err := s.ready(c.given)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, error %v; want %v, %q", what, got, err, c.want, c.err)
		}
	}
}
