package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

const (
	// pageSize is how many objects are asked for at once.
	pageSize = 500
	// attempts at one page, or one object, while the API server does not answer.
	attempts = 5
)

// pages lists the objects of a kind, a page at a time.
type pages struct {
	from dynamic.ResourceInterface
	kind plan.BackupKind
	size int64
	// changing: the pages are not all of one moment.
	changing bool
}

func pagesOf(c *client.Client, k plan.BackupKind) (*pages, error) {
	m, err := c.Mapping(ID{APIVersion: k.APIVersion, Kind: k.Kind}.gvk())
	if err != nil {
		return nil, err
	}
	if k.Namespace != "" && m.Scope.Name() != meta.RESTScopeNameNamespace {
		return nil, fmt.Errorf("kind %s has no namespaces: leave namespace out of the backup's list", k.Kind)
	}
	return &pages{from: c.Resource(m, k.Namespace), kind: k, size: pageSize}, nil
}

// count asks how many objects there are; those that come meanwhile are not in
// it.
func (p *pages) count(ctx context.Context) (int, error) {
	list, err := p.list(ctx, metav1.ListOptions{LabelSelector: p.kind.Selector, Limit: 1})
	if err != nil {
		return 0, err
	}
	n := len(list.Items)
	if more := list.GetRemainingItemCount(); more != nil {
		n += int(*more)
	}
	return n, nil
}

// each goes through all objects.
func (p *pages) each(ctx context.Context, do func(*unstructured.Unstructured) error) error {
	o := metav1.ListOptions{LabelSelector: p.kind.Selector, Limit: p.size}
	for {
		list, err := p.list(ctx, o)
		if err != nil {
			return err
		}
		for i := range list.Items {
			if err := do(&list.Items[i]); err != nil {
				return err
			}
		}
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// list gets one page. A token that has expired is exchanged for the one that the
// API server offers in its place, which goes on behind the last object with what
// is there now.
func (p *pages) list(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	for attempt := 1; ; attempt++ {
		list, err := p.from.List(ctx, o)
		var st apierrors.APIStatus
		switch {
		case err == nil:
			return list, nil
		case apierrors.IsResourceExpired(err) && o.Continue != "" && errors.As(err, &st) && st.Status().ListMeta.Continue != "":
			o.Continue, p.changing = st.Status().ListMeta.Continue, true
		case !passing(err) || attempt >= attempts || !pause(ctx, attempt):
			return nil, fmt.Errorf("list %s: %w", p.kind, client.Explain(err))
		}
	}
}

// passing reports whether an error of the API server is worth another attempt.
func passing(err error) bool {
	return client.Unreachable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}

// pause waits before another attempt, and reports whether there is time left.
func pause(ctx context.Context, attempt int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(attempt*attempt) * 100 * time.Millisecond):
		return true
	}
}
