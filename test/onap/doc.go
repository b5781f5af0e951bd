// Package onap tests examples/onap-so: that it is whole, that it says what its
// tables say, and that it goes forward and back over real components.
package onap
