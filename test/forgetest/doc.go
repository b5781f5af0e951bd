// Package forgetest plays back recorded exchanges with a forge's API.
//
// A recording is a text file of exchanges in order. Each begins with a line
// "=== WHAT", and has the request (METHOD PATH?QUERY, headers that must be
// there, an empty line, the body), a line "---", and the answer (its code,
// headers, an empty line, the body). In place of a code "hang up" ends the
// connection after the request was taken, and "large N" answers N bytes. JSON
// bodies are compared as data. $TOKEN stands for the token, $HOST for the
// server's address.
package forgetest
