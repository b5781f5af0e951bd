// Package nephoran proves examples/nephoran: that its plans are valid and meet every
// section of the document that they are for, that its mistakes cannot be made, and, end to
// end with the real daemon on a real control plane, that they go forward and back.
package nephoran
