// Package migrationreport makes the reports of a migration, the daily and the
// final one, of what Git and a Prometheus tell. It is pure: values come in, a
// Report goes out, and is written as Markdown, HTML or JSON. The same values give
// the same text.
package migrationreport
