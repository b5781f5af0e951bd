// Package backends is the system that is migrated in the demo: two small order
// services, legacy and modern, each with metrics. Either can be made to fail.
package backends
