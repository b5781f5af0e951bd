// Package gatewayapi pins the version of the Gateway API whose custom resource
// definitions tests install. Only files of that module are used; the import
// keeps it in go.mod.
package gatewayapi

import _ "sigs.k8s.io/gateway-api/pkg/consts" // the smallest package of the module
