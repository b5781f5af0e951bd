// Package schemas holds the JSON Schema of a MigrationPlan, for editors and
// other tools. It is generated from the types of package plan.
package schemas

import _ "embed"

//go:generate go test . -run TestTheSchemaIsThatOfTheTypes -update

// MigrationPlan is the JSON Schema (draft 7) of a MigrationPlan. It knows the
// fields, their types and their words; what depends on other fields only the
// decoder of package plan knows.
//
//go:embed migrationplan.schema.json
var MigrationPlan []byte
