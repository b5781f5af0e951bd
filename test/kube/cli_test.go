package kube

import (
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/changeover-dev/changeover/test/kubetest"
)

// find returns the first group of a pattern in what the candidate said.
func (c *candidate) find(pattern string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := regexp.MustCompile(pattern).FindStringSubmatch(c.log.String()); m != nil {
		return m[1]
	}
	return ""
}

func readyz(t *testing.T, address string) (code int, text string) {
	t.Helper()
	resp, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// A daemon that stands by is ready, and says who leads.
func TestReadyStatusOfAStandbyNamesTheLeader(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	first := r.candidate(t)
	kubetest.WaitFor(t, "the first leads", func() bool { return first.said("this daemon leads") })
	leader := first.find(`identity="?([^\s"]+)`)
	if leader == "" {
		t.Fatal("the leader does not say by which name it goes")
	}
	second := r.candidate(t)
	kubetest.WaitFor(t, "the second asks for the lease", func() bool { return second.said("waiting for the lease") })
	address, text := second.find(`listen=(\S+)`), ""
	kubetest.WaitFor(t, "the second names the leader", func() bool {
		_, text = readyz(t, address)
		return text == "this daemon stands by: "+leader+" leads; ask that one\n"
	})
	if code, _ := readyz(t, address); code != http.StatusOK {
		t.Errorf("/readyz answers %d: a standby would be restarted or never come up", code)
	}
	if second.said("this daemon leads") {
		t.Error("both lead")
	}
}
