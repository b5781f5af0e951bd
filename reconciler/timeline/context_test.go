package timeline_test

import "context"

// contextOf is the test's own context, where it has one.
func contextOf(t fataler) context.Context {
	if c, ok := t.(interface{ Context() context.Context }); ok {
		return c.Context()
	}
	return context.Background()
}
