package dir

import (
	"context"
	"errors"

	"github.com/changeover-dev/changeover/plan"
)

var errGone = errors.New("the repository is gone")

// failing is a Publisher whose repository is gone.
type failing struct{}

func (*failing) Publish(context.Context, string, string, map[string][]byte, string) (plan.Revision, error) {
	return "", errGone
}

func (*failing) Published(context.Context, string, string) (map[string][]byte, plan.Revision, error) {
	return nil, "", errGone
}
