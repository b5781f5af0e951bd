// Package entity compiles what a plan says in CEL about its entities: how an item
// of an inventory is read, what is called to hand it over, and what must be equal
// on both sides.
//
// Expressions over an item read item and values; those of a page of an inventory
// body and headers; those of calls id, item and values; those that compare id,
// legacy, modern and values. values are the plan's maps: a name that the plan does
// not declare is an error when the plan is read, and a word that a map does not
// hold is an error when the expression runs. Nothing is guessed.
//
// The package is pure: values go in and come out.
package entity
