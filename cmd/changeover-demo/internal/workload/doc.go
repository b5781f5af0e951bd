// Package workload is the steady stream of customers' requests through the
// gateway, and the book of who was answered by which side: all that the demo
// claims about traffic is measured here, as a client sees it.
package workload
