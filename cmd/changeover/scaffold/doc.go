// Package scaffold writes a first plan for what serves traffic today: an
// HTTPRoute, an Ingress, or a location of nginx. It guesses nothing: where what it
// reads could be meant in two ways, it says so.
package scaffold
