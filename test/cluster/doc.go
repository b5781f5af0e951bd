// Package cluster runs a real Kubernetes control plane for tests, and for
// people who try something out: etcd, API server, controller manager and
// scheduler, and kwok in the place of kubelets. Pods do not run: kwok says that
// they do, so that Deployments become available and Jobs complete. A pod that
// is never to run gets a nodeSelector that no node has.
//
// Everything listens on the loopback address, on ports that the cluster holds
// for as long as it lives, so that any number of clusters can run at once. The
// programs come from package components; `make components` builds them. None of
// them outlives the process that started it, not even one that is killed.
//
// # Use
//
// Start is for a test that wants a cluster of its own; New is for everybody
// else, who calls Stop in the end:
//
//	c := cluster.Start(t, cluster.Options{GatewayAPI: cluster.Standard})
//	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
//
// Options choose the definitions of the Gateway API, the audit log, bearer
// tokens, and flags of the API server.
//
// Kubeconfig has all rights. UserKubeconfig makes one for any user and groups
// by a certificate, TokenKubeconfig one with a bearer token: of Options.Tokens,
// or one that the API server issued for a service account. RBAC decides what
// they may do. SetTokens replaces the tokens at the next start of the API
// server; those that are gone are then refused.
//
// KillAPIServer, StopAPIServer and StartAPIServer are for tests of faults: the
// address and the data stay, and the controllers come back by themselves. Ended
// tells whether a program ended that nobody stopped, and Logs what the programs
// complained of. A test that fails keeps the logs in Dir and says so.
//
// On two idle cores a start takes 3 to 5 s; the programs take about 550 MB of
// memory, 700 MB with the Gateway API. A package whose tests do no harm to the
// control plane starts one for all of them, as package kubetest does. People
// start one by `make cluster`.
package cluster
