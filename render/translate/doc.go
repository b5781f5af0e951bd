// Package translate maps requests and answers between two APIs: the translations
// of a plan, compiled from CEL and evaluated over one request and one answer.
//
// An expression reads request (.method .path .segments .query .headers .body), and
// in a response also response (.status .headers .body). The path is the one that
// rules match, as package render says; names of headers are in lower case; of a
// parameter or header that is sent more than once the first counts. A body is JSON,
// or null where there is none. A whole number of 64 bits is an int (else a uint),
// any other a double.
//
// What is not named stays. A parameter or header that is null, or an optional
// without a value, is removed, and a list of texts makes several. A body that is
// null is none. A path is a text, or a list of segments in which each / is
// escaped; one with empty, . or .. segments is a Failure, so that a value of a
// request never leads out of the path that the plan wrote.
//
// Expressions are bounded: their static cost when they are compiled, and cost and
// time when they run. Functions whose result can be far larger than what they read
// take only texts that stand in the expression itself.
//
// A Failure says which field failed and why, and holds no value of the request.
//
// The package is pure: values go in and come out.
package translate
