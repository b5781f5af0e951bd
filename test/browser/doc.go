// Package browser drives a real Chromium without a screen, as Debian ships it, by
// the DevTools protocol.
package browser
