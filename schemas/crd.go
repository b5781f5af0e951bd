package schemas

import _ "embed"

//go:generate go test . -run TestTheDefinitionIsThatOfTheTypes -update

// Definition is the CustomResourceDefinition of MigrationPlans, as YAML. It is
// generated from the types of package reconciler/kube/api.
//
//go:embed changeover.dev_migrationplans.yaml
var Definition []byte
