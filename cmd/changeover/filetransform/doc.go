// Package filetransform makes files out of files by the CEL maps of a FileTransform:
// YAML or JSON in, JSON or YAML out. All files are read and mapped before the first
// is written; each is written whole, beside its place, before any takes its place.
package filetransform
