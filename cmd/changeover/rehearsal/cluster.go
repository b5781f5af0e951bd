package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/route"
	"github.com/changeover-dev/changeover/render"
)

// live is a real cluster, through the daemon's own adapters.
type live struct {
	*kube.Rehearsal
	gateway *route.Gateway
	now     func() time.Time
}

// NewCluster is a real cluster for one rehearsal. It makes no call. The client
// must be one for dry runs.
func NewCluster(c *client.Client, now func() time.Time) (Cluster, error) {
	r, err := kube.NewRehearsal(kube.Options{Client: c, Now: now})
	if err != nil {
		return nil, err
	}
	g, err := route.New(route.Options{Client: c, Now: now})
	if err != nil {
		return nil, err
	}
	return &live{r, g, now}, nil
}

// Route implements Cluster.
func (l *live) Route(ctx context.Context, p *plan.Plan, stop plan.Position) (kube.Trial, error) {
	namespace := cmp.Or(p.Spec.Gateway.GatewayAPI.Namespace, p.Metadata.Namespace)
	id := render.ID{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Namespace: namespace, Name: p.Metadata.Name}
	err := l.gateway.Rehearse(ctx, p, reconciler.Mark{Stop: stop, Since: l.now(), Revision: "rehearsal"})
	if why := l.awaits(p, namespace, err); why != "" {
		return kube.Trial{ID: id, Outcome: kube.NotTried, Why: why}, nil
	}
	return l.Judge(id, stop, err)
}

// awaits says what the HTTPRoute waits for that is made on the way.
func (l *live) awaits(p *plan.Plan, namespace string, err error) string {
	switch {
	case errors.Is(err, route.ErrNotInstalled) && l.Defines(render.Kind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}):
		return "the definition of its kind is made on the way"
	case errors.Is(err, route.ErrNoGateway):
		for _, ref := range p.Spec.Gateway.GatewayAPI.ParentRefs {
			id := render.ID{Group: "gateway.networking.k8s.io", Kind: "Gateway", Namespace: cmp.Or(ref.Namespace, namespace), Name: ref.Name}
			if by, ok := l.Makes(id); ok {
				return title(id) + " is made at " + by.String()
			}
		}
	}
	return ""
}
