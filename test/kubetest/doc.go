// Package kubetest is for tests on the real control plane of package cluster:
// one cluster for all tests of a package, a fresh namespace for each, and what
// such tests do again and again.
//
//	func TestMain(m *testing.M) {
//		os.Exit(kubetest.Main(m, cluster.Options{GatewayAPI: cluster.Standard}))
//	}
//
//	func TestIt(t *testing.T) {
//		k := kubetest.Shared(t)
//		ns := k.Namespace(t)
//		k.Apply(t, ns, manifest)
//		kubetest.WaitFor(t, "the Deployment is available", func() bool { ... })
//	}
//
// The cluster starts when the first test asks for it, so that tests without one
// cost nothing. A test that harms the control plane (KillAPIServer) takes its
// own by Start.
//
// # Objects
//
// Apply, ApplyAs, Get, Lookup, Delete, and Kubectl for the real kubectl. A kind
// is written KIND or KIND.GROUP, as in "Deployment.apps". DryRunDiff compares
// live objects with a render, by the API server's own merge.
//
// # Who asked for what
//
// Audit reads the audit log of the API server: count requests by user agent
// and verb between two moments.
//
// # Faults
//
// Proxy stands between a client and the API server and answers 429, 500, 409,
// late, or not at all, by rule; it can also lose the answer to a request that
// was carried out. Webhook is an admission webhook that denies or hangs, in one
// namespace. Account is a service account whose token ends when the test says
// so, and whose kubeconfig names a file, as a pod's does.
//
// All of it cleans up after the test. Unless a comment says otherwise, what is
// returned may be used from several goroutines, and a method that takes the
// test ends it where it fails, so it is for the test's own goroutine.
package kubetest
