// Package schemas holds the JSON Schemas of MigrationPlans and Approvals, for
// editors and other tools. They are generated from the types of package plan.
package schemas

import _ "embed"

//go:generate go test . -run TestTheSchemaIsThatOfTheTypes -update

// MigrationPlan is the JSON Schema (draft 7) of a MigrationPlan. It knows the
// fields, their types and their words; what depends on other fields only the
// decoder of package plan knows.
//
//go:embed migrationplan.schema.json
var MigrationPlan []byte

// Approval is the JSON Schema (draft 7) of an Approval. Whether the plan has
// the stop, the role and the item only the daemon knows.
//
//go:embed approval.schema.json
var Approval []byte
