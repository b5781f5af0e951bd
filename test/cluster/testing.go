package cluster

import "testing"

// Start is New for a test: the cluster stops when the test ends. A component
// that is missing fails the test and names the command that builds it; so does
// a program that has ended by itself. When the test has failed, the logs are
// shown, and kept in Dir.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Ended(); err != nil {
			t.Errorf("the cluster lost a program: %v", err)
		}
		if t.Failed() {
			t.Logf("the cluster's logs are kept in %s; their ends:\n%s", c.Dir, c.Logs(15))
		}
		c.stop.Do(func() { c.end(t.Failed()) })
	})
	return c
}
