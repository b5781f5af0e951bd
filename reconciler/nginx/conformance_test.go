package nginx_test

import (
	"testing"

	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

func TestConformance(t *testing.T) {
	conformance.Traffic(t, func(t *testing.T) conformance.Gateway {
		return conformance.Gateway{Traffic: open(t, nginxtest.Start(t)), Plan: newMigration(t).Plan}
	})
}
