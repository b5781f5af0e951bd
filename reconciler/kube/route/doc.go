// Package route moves the traffic of a plan by one HTTPRoute of the Gateway API,
// which is wholly Changeover's.
//
// # What counts as served
//
// A stop is served when the live spec is what the plan renders to, and every
// parent that the spec names has said, of the route's current generation, that
// it is accepted and that its references are resolved. Where several controllers
// speak for one parent, all that have left an entry must say so: an entry of a
// controller that is gone has to be removed from the route's status by hand.
//
// # What an error leaves behind
//
// Nothing is written while the route is another's, another manager owns a field,
// or a GatewayClass says that it cannot do what the plan needs. Going back is
// never kept from by the last of these.
//
// Where a parent refuses the new route, the spec from before is put back, and a
// route that was not there before is deleted again. Going back, what at least
// one parent took stays: the parent that refuses may well have refused the spec
// from before. A parent that says nothing until the deadline has the new route
// stay, so that it finds it: the error names the parent.
//
// # Whose the fields are
//
// Spec, label and annotations are written together by server-side apply, which
// leaves the generation alone where only annotations differ. Nothing is forced:
// fields of other managers are reported with the manager's name, unless the live
// route has the annotation changeover.dev/force-conflicts: "true". Changeover's
// own annotations and label are its own, whoever has written them.
//
// Everything is read and written as the plan's account.
package route
