package dir

import (
	"context"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
)

// branch is a store in a branch of a repository.
type branch struct {
	p    Publisher
	name string
}

func (b *branch) read(ctx context.Context, key plan.Key) (map[string][]byte, error) {
	files, _, err := b.p.Published(ctx, b.name, key.String())
	return files, err
}

func (b *branch) write(ctx context.Context, key plan.Key, files map[string][]byte, message string) error {
	_, err := b.p.Publish(ctx, b.name, key.String(), files, message)
	return err
}

func (b *branch) where(key plan.Key) string {
	return fmt.Sprintf("folder %s of branch %s", key, b.name)
}
