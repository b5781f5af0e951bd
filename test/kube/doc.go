// Package kube runs the daemon's binary against a real Kubernetes control
// plane, a real Prometheus and a real Git repository: the stories of a
// migration that has cluster config and an HTTPRoute, there and back.
package kube
