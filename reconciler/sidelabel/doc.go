// Package sidelabel keeps the owner of Kubernetes objects as a label on them,
// side.changeover.dev/PLAN: legacy, modern or validation, so that each controller
// selects its own. It is a reconciler.Work for plans whose spec.entities say
// owner: label.
//
// All that it remembers stands on the objects: the label, and beside it two
// annotations, how the object came to its owner and at which percent it was handed
// over. So there is nothing to lose, and kill -9 at any point is gone on from.
//
// An owner changes by one patch of metadata that holds the version of the object as
// it was judged: whoever wrote meanwhile wins, and the object is judged anew. An
// object on which a controller works is therefore never handed over, as long as its
// status says so.
//
// An object that is created has no label, and is nobody's until its creation was
// seen: the objects are watched. That takes some milliseconds; while no daemon works,
// or the plan is suspended, it takes as long as that.
//
// Survey is the pure core: objects and a stop in, changes out.
package sidelabel
