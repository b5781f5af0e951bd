package proxy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
)

// TestABridgeBehindAGatewayMustTrustIt: every caller would be the gateway.
func TestABridgeBehindAGatewayMustTrustIt(t *testing.T) {
	for _, trusted := range [][]netip.Prefix{nil, {netip.MustParsePrefix("127.0.0.1/32")}} {
		f := newFixture(t, "http://127.0.0.1:1", "http://127.0.0.1:2", proxy.Options{TrustedProxies: trusted})
		c, _ := f.Config()
		c.Behind = "nginx"
		c.Hash, _ = c.Sum()
		err := f.Serve(c)
		if refused := err != nil && strings.Contains(err.Error(), "start the bridge with --trusted-proxies"); refused != (trusted == nil) {
			t.Errorf("trusting %v the config came to %v", trusted, err)
		}
	}
}
