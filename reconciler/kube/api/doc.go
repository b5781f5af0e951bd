// Package api holds the Go types of the MigrationPlan object in a cluster. Its
// spec mirrors what stands in Git; its status is what the daemon knows of the
// plan. The CustomResourceDefinition in folder schemas is generated from them.
//
// +groupName=changeover.dev
// +versionName=v1alpha1
package api
