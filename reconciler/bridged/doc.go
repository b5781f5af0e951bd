// Package bridged brings a gateway, nginx or the Gateway API, and the bridge
// behind it to a stop of a plan, as one: plan.Gateway.Bridged says which requests are whose.
//
// Both configs have the whole plan in them, so that in between, while one is at
// the old stop and the other at the new one, each request is still routed as one
// of the two says, whichever comes first. What the gateway must not do is hand requests
// to a bridge that has no config. So on the way forward the bridge is first, and
// the gateway is not touched unless every bridge serves the stop; where it does not
// follow, the bridge's old config is put back. On the way back neither waits for
// the other: a bridge that is gone must not keep on modern what the gateway
// sends there. A stop counts as entered, or left, when both are seen to serve it.
package bridged
