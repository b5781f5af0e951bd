// Package cluster runs a real Kubernetes control plane for tests, and for
// people who try something out: etcd, API server, controller manager and
// scheduler, and kwok in the place of kubelets. Pods do not run: kwok says that
// they do, so that Deployments become available and Jobs complete.
//
// Everything listens on the loopback address, on ports that the cluster holds
// for as long as it lives, so that any number of clusters can run at once. The
// programs come from package components; `make components` builds them.
package cluster
