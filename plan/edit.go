package plan

import "errors"

// SetPosition writes a new spec.position into the bytes of a plan file.
func SetPosition(src []byte, to Position) ([]byte, error) {
	return nil, errors.New("set position: the file has no position")
}
