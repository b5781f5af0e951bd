// Package s3test runs a real S3 service for tests: versitygw over a folder, on a
// loopback address, in a process of its own that does not outlive the test. The
// program comes from package components; `make components` builds it.
package s3test
