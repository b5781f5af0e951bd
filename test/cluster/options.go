package cluster

import "time"

// Channel is a release channel of the Gateway API.
type Channel string

// The channels; the zero value installs none.
const (
	NoGatewayAPI Channel = ""
	Standard     Channel = "standard"
	Experimental Channel = "experimental"
)

// Options are what a test may choose. The zero value is a cluster with one node
// and nothing else.
type Options struct {
	// GatewayAPI are the custom resource definitions to install.
	GatewayAPI Channel
	// Tokens are known to the API server from its start.
	Tokens []Token
	// Audit makes the API server write a line of JSON to Cluster.AuditLog for
	// every request: who asked for what with which program, and never a body.
	Audit bool
	// APIServerArgs are more flags for the API server; they go after those of
	// the cluster and so win over them.
	APIServerArgs []string
	// Timeout bounds the start, and each later start of the API server; 3
	// minutes where zero: two cores may be busy with other tests.
	Timeout time.Duration
}

// Token is a bearer token and who its bearer is.
type Token struct {
	Token  string
	User   string
	Groups []string
}
