// Package nginx renders one stop of a plan into three nginx include files:
// upstreams and maps for the http block, locations for the server block whose
// `location /` the plan owns.
//
// A request passes a chain of maps. $..._rule picks the first rule whose
// method, headers and path match, by one map whose keys are all regular
// expressions, because nginx tries those in order, while it compares plain
// keys without regard to case. $..._side then is legacy, modern or the arm of
// a split_clients keyed on the salt and the caller's identity, modern first,
// so that a ramp is monotone. Rules that answer at the gateway are sent to an
// internal location of their own.
//
// The package is pure: equal plans give equal bytes. No value of a plan can
// leave the directive in which it stands: every text is quoted, and where
// nginx would expand variables it comes from a geo block, which does not.
package nginx
