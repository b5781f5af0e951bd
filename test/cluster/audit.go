package cluster

import (
	"fmt"
	"os"
)

// auditPolicy asks for one line a request, once it is answered, and for one
// more where a watch begins. Bodies hold Secrets; no line has one.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  omitManagedFields: true
`

// audit are the flags of the API server for Options.Audit.
func (c *Cluster) audit() (flags []string, err error) {
	if !c.options.Audit {
		return nil, nil
	}
	policy := c.file("audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("write the audit policy: %w", err)
	}
	c.AuditLog = c.file("audit.jsonl")
	return []string{
		"--audit-policy-file=" + policy, "--audit-log-path=" + c.AuditLog,
		// A line is there before the answer is complete, and no file is put away.
		"--audit-log-mode=blocking", "--audit-log-maxsize=10000",
	}, nil
}
