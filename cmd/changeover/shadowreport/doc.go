// Package shadowreport joins what several bridges have found by comparing modern's
// answers with legacy's, and writes it as a page. It is pure.
package shadowreport
