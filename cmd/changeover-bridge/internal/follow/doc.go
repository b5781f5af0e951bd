// Package follow follows the bridge's config: it reads it at the start and
// whenever it changes, and hands on what passes the strict parser.
//
// Where the config is kept is a Source: a File, or a ConfigMap (package
// configmap). What cannot be read or served changes nothing but the Status:
// what was served before goes on.
package follow
