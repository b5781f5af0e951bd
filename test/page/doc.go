// Package page drives the daemon's web page in a real browser.
package page
