// Package translation carries out a plan's translations on HTTP requests and
// answers: it reads their bodies, within bounds, asks package render/translate for
// what changes, and changes it, with the headers that frame and describe a body.
//
// A body is read where an expression reads it, and only then. It must be JSON:
// application/json or +json, in UTF-8, without a Content-Encoding. A request with
// another body is refused with 415, one that is larger than maxBody with 413, one
// that is no JSON or is nested too deep with 400, one that does not arrive in time
// with 408, and one for which an expression fails with 400.
//
// An answer that is not JSON, such as the error page of something between, passes
// as it is. One that is JSON and cannot be translated becomes 502: the caller never
// gets an answer of the other API. Modern is asked for answers without a
// Content-Encoding, and for whole ones. To HEAD, and with 304, what reads the body of
// the answer is left out.
package translation
