// Package kube brings a Kubernetes cluster to what the stop of a plan wants: it
// applies objects on the server's side, lowers and prunes what is not wanted
// any more, puts drift right, and watches what it applied.
//
// What it will have applied is kept in an inventory, the ConfigMap
// changeover-inventory-PLAN in the plan's namespace, which is written first.
// Fields of other managers are never taken, but for those that a person changed
// with kubectl on an object that Changeover applied: such edits are drift.
package kube
