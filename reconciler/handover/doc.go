// Package handover gives entities from legacy to modern, and back, one by one.
//
// At a stop with a percentage, that share of the entities that were born on legacy
// belongs to modern: those that come first in the plan's order, which is frozen
// when the phase is entered. What was created on legacy since comes at the end.
// Going to a lower stop, those that the higher one gave away go back, the last
// ones first; what was born on modern stays, at every stop. A phase without percents goes on
// with the share of the last one that had some, and is entered only when not even
// entities in flight are left to it.
//
// # One entity
//
// Its block is set in the ownership table. Every ready bridge then confirms that it
// has seen the block and that no write that began before is under way; with one
// bridge silent nothing happens. The entity is asked for anew: one that is in
// flight by now is let go. The steps of the plan run, what must be equal is
// compared, and the owner is flipped under the block's token, which lifts the block.
//
// A bridge lifts a block that lasts for longer than its lease, so that writes never
// wait for a daemon that is gone. The flip of a block that was lifted fails: see
// ownership.Blocker. The entity is then still its old owner's, which has every
// write, and is handed over again later; so the steps must be safe to repeat.
//
// A write that a backend does not answer counts as under way for ten seconds, and a
// bridge that has just started vouches for no write for as long, as one before it may
// have been killed. A backend that carries a write out later than that, without
// having answered, may do so after the hand-over.
//
// What a stop adds to those before it is its batch. It is frozen as a manifest when
// the stop is first entered, before anything of it is handed over; an entity in flight
// stays in its batch and is handed over at a later stop.
//
// The table is all that must be remembered: at any point, kill -9 leaves an entity
// with exactly one owner. The frozen order and the manifests are files beside,
// which are made anew where they are lost: who flipped what is in the table's batch.
package handover
