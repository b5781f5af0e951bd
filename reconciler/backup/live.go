package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// liveSums are the sums of the live objects of the kinds of a backup.
type liveSums struct{ of map[ID]sums }

// read lists them. A kind that is not served has none.
func (l *liveSums) read(ctx context.Context, c *client.Client, kinds []Kind) error {
	l.of = map[ID]sums{}
	for _, k := range kinds {
		p, err := pagesOf(c, k.BackupKind)
		if errors.Is(err, client.ErrNoKind) {
			continue
		}
		if err != nil {
			return err
		}
		err = p.each(ctx, func(o *unstructured.Unstructured) error {
			if o.GetDeletionTimestamp() != nil {
				return nil
			}
			_, s, err := encode(strip(o.Object))
			l.of[idOf(o.Object)] = s
			return err
		})
		if err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// same reports whether an object is live as in the backup. The status of what
// the API server looks after itself does not count.
func (l *liveSums) same(f found) bool {
	s, ok := l.of[f.ID]
	return ok && (s.whole == f.live().whole || f.rank() < 2 && s.body == f.live().body)
}

// maxPaths bounds how many differences are named.
const maxPaths = 5

// differences are the paths at which a live object is not as in the backup, a
// few of them. They hold no values.
func differences(backup, live map[string]any) []string {
	var out []string
	differ("", backup, live, func(path, why string) bool {
		out = append(out, strings.TrimPrefix(path, ".")+why)
		return len(out) < maxPaths
	})
	return out
}

func differ(path string, a, b any, tell func(path, why string) bool) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return tell(path, "")
		}
		return differFields(path, x, y, tell)
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return tell(path, "")
		}
		for i := range x {
			if !differ(fmt.Sprintf("%s[%d]", path, i), x[i], y[i], tell) {
				return false
			}
		}
		return true
	}
	if fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b) {
		return true
	}
	return tell(path, "")
}

func differFields(path string, x, y map[string]any, tell func(path, why string) bool) bool {
	var names []string
	for k := range x {
		names = append(names, k)
	}
	for k := range y {
		if _, ok := x[k]; !ok {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		v, has := x[k]
		w, is := y[k]
		at := path + "." + k
		switch {
		case !has:
			if !tell(at, " (the backup does not have it)") {
				return false
			}
		case !is:
			if !tell(at, " (is missing)") {
				return false
			}
		case !differ(at, v, w, tell):
			return false
		}
	}
	return true
}
