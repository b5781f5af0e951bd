// Package child runs one process of the demo, with its output in a log file.
package child
