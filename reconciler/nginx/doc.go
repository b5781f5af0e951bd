// Package nginx brings an nginx on this machine to a stop of a plan, and reads
// back what it serves.
//
// Changeover owns one name in an include folder of that nginx: the symlink
// DIR/changeover, which points to a version below DIR/changeover.d. A version
// is written whole beside the one in force, synced, and swapped in by one
// rename; then nginx tests the whole config, is told to reload, and is asked
// over fresh connections until every worker has answered with the new config's
// hash and none answers with the old one. A failed test, or a hash that never
// comes, puts the old version back.
//
// nginx.conf includes the folder three times:
//
//	http {
//	    include DIR/changeover/*.upstreams.conf;
//	    include DIR/changeover/*.maps.conf;
//	    server {
//	        include DIR/changeover/*.locations.conf;
//	    }
//	}
//
// The server block must have no `location /` of its own. As everywhere in
// nginx, its add_header and proxy_set_header lines do not reach into locations
// that have such lines themselves, as the plan's has; its timeouts, limits,
// buffers and proxy_ssl_verify do. Where nginx says that it could not build a
// variables_hash or map_hash, raise the value that it names in the http block:
// Changeover sets none of them, as two files that do would not load.
//
// An nginx that is not running keeps the new files, so that it starts with
// them; the error is ErrNotRunning, as nothing was observed.
package nginx
