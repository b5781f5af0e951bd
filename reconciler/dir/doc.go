// Package dir is the cluster of those whose manifests another engine applies,
// such as Argo CD or Flux: it implements reconciler.Cluster by writing the
// rendered manifests to a folder, or to a branch of a repository.
//
// Each plan has the folder NAMESPACE/NAME below, which belongs to Changeover
// and is replaced as a whole:
//
//	kustomization.yaml           what to build: lists the objects in their order
//	00-namespace-shop.yaml       one file an object: STAGE-KIND-NAMESPACE-NAME
//	02-deployment-shop-web.yaml
//	changeover.json              which stop this is, for Changeover itself
//
// The engine is pointed at the plan's folder, and is to prune what is taken out
// of it. What a stop does not want any more stays in the folder until traffic
// has left it, and replicas are lowered then too, as with a cluster that
// Changeover applies to itself. Objects of kinds that are not built into
// Kubernetes, that name no namespace and whose definition is not among the
// manifests, are left without one: have the engine apply to the plan's
// namespace by default.
//
// With a kubeconfig health is read from the cluster: every object bears the
// annotation changeover.dev/content, which tells whether the engine has applied
// it as it is written. Without one health is left to gates.
package dir
