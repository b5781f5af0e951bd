package follow

import "context"

// Source is where the config is kept. What it reads may be up to one byte
// larger than the parser takes: the parser then says what is wrong.
type Source interface {
	// String names it in logs, as in `file "/etc/bridge.json"`.
	String() string
	// Read reads the config as it is now. The error wraps fs.ErrNotExist where
	// there is none yet, and says the same for as long as the same is wrong.
	Read(ctx context.Context) ([]byte, error)
	// Watch hands what Read would return to look, at once and whenever it may
	// have changed, until the context ends. It calls look from one goroutine.
	Watch(ctx context.Context, look func(src []byte, err error))
}
