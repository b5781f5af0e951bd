// Package bridge brings changeover-bridge to a stop: it writes the one config
// that every replica follows, and asks each replica what it serves. Where the
// config is kept is a Store, a file or a ConfigMap; which replicas there are is
// told by Replicas, a list of URLs or the endpoints of a Service.
//
// The config is the intent. It is put in place whole, and is in force with
// every replica that follows it, whether or not another one answers:
//
//   - A replica that is silent, or still serves something else, makes Apply
//     fail with ErrNotObserved once its time is up. The config stays: others
//     follow it already, the silent one will when it is back, and a rollback
//     must not be undone because one replica is down. Calling Apply again only
//     looks again.
//   - A replica that refuses the config (it reports its digest and why)
//     makes Apply fail with ErrRejected. Going forward the old one is put
//     back, so that all replicas serve one config again. Going backward, or
//     where that cannot be told, the new one stays: the old one is what has
//     to be left, and to be back on it is worse than to be on both.
//
// One bridge serves one plan: the config of another plan is never overwritten.
// What cannot be read as a config is, since a damaged one must not stand
// in the way of a rollback.
package bridge
