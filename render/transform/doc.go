// Package transform makes objects out of objects: the transforms of a plan, and
// those over files, compiled from CEL and evaluated over one object at a time.
//
// An expression reads object, the source, and plan (.name .namespace); over files it
// reads file (.name .path) in place of plan, and verify expressions read targets too,
// what became of the source, by the names that the transform gives. The result hangs
// on these alone: there is no clock, and a map is gone over in the order of its keys.
//
// What a target becomes is a map with apiVersion, kind and metadata. Its apiVersion
// and kind are texts that stand in the map itself, so that it is known before
// anything runs which permissions are needed and where orphans can be.
//
// Expressions are bounded: their static cost when they are compiled; cost, time and
// the size of the object when they run. A Failure says what failed and why, and holds
// no value of an object, which may be a Secret.
//
// The package is pure: values go in and come out.
package transform
