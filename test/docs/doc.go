// Package docs tests what the documents for people say: that the plan of the
// README is a good one, its nginx configuration loads, and its commands and
// flags exist.
package docs
