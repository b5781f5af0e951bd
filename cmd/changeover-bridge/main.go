// Command changeover-bridge is a reverse proxy that keeps every caller of a
// migration on its side. It is configured by one file or ConfigMap, which the daemon
// writes and which any number of bridges follow without dropping a request.
package main

import (
	"os"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr)) }
