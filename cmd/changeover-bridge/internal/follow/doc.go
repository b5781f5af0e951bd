// Package follow follows the bridge's config file: it reads it at the start
// and whenever it changes, and hands on what passes the strict parser.
//
// A file that cannot be read or served changes nothing but the Status: what
// was served before goes on. Writers are expected to replace the file by a
// rename; one that writes in place is followed as well, at the price of files
// that are refused half-way.
package follow
