//go:build !linux

package dir

import "errors"

// exchange swaps two folders at once, which is not to be had here.
func exchange(_, _ string) error { return errors.ErrUnsupported }
