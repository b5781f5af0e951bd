// Package call sends the HTTP requests that a plan describes: the pages of an
// inventory, and the calls that verify, sync and hand over entities.
//
// A plan comes from Git, so it does not decide whom the daemon talks to: hosts must
// be in the list of the daemon's --allow-host, and addresses of the link, where
// clouds keep credentials, are refused whatever a name resolves to. Redirects are
// followed only for reads and only within one host. Tokens come from files below
// the daemon's --secrets-dir, are read for each request, and stand in no error.
//
// Every request has a deadline and every answer a largest size. Nothing is tried
// again here: an Error says whether that could help.
package call
