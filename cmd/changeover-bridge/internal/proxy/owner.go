package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// Owners know who owns an entity, and record those that modern creates.
type Owners interface {
	route.Owners
	// Follow has the owners of a plan known, waiting for them no longer than
	// given.
	Follow(key plan.Key, wait time.Duration)
	// CanRecord says why a birth could not be recorded now; nil: it could.
	CanRecord(ctx context.Context) error
	// Record returns nil when the birth survives a crash.
	Record(ctx context.Context, key plan.Key, id string) error
	// Unreadable counts a create whose answer has no id.
	Unreadable()
	// Write notes that a write to an entity begins; ok is false where it must
	// not, as the entity is handed over just now. Leave ends it; sure is false
	// where the backend may still be at it.
	Write(id string) (leave func(sure bool), ok bool)
}

// Bounds of births.
const (
	// followWait is how long a new config waits for the owners.
	followWait = 5 * time.Second
	// createTime is how long a create may take, its answer included. It goes on
	// when its client leaves: modern may have created the entity all the same.
	createTime = 2 * time.Minute
	// createAnswer is how much of an answer is read for the id, in bytes.
	createAnswer = 1 << 20
)

// births sees the entities that modern creates.
type births struct {
	owners Owners
	plan   plan.Key
	born   *plan.Born // nil: the plan does not say how
	id     []string
	log    *slog.Logger
}

// follow has the owners of a config's plan known; nil where it has no entities.
func (h *Handler) follow(c bridge.Config, t *route.Table) (*births, error) {
	if c.Entities == nil {
		return nil, nil
	}
	if h.owners == nil {
		return nil, errors.New("the plan has entities, and this bridge does not know their owners: start it with --ownership and --ownership-spool")
	}
	b := &births{owners: h.owners, plan: c.Plan, born: c.Entities.Born, log: h.log}
	if b.born != nil {
		var err error
		if b.id, err = plan.ParseIDPath(b.born.ID); err != nil {
			return nil, fmt.Errorf("serve config: %w", err)
		}
	}
	h.owners.Follow(c.Plan, followWait)
	t.Ask(h.owners)
	return b, nil
}

// known counts a request that names an entity. Where the owners are not known yet
// it answers, and returns false: either side could be the wrong one.
func (h *Handler) known(w http.ResponseWriter, c route.Choice) bool {
	switch c.Entity {
	case route.NotReady:
		h.metrics.lookups.WithLabelValues("not_ready").Inc()
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "the owners of entities are not known yet")
		return false
	case route.Owned:
		h.metrics.lookups.WithLabelValues(string(c.Side)).Inc()
	default:
		h.metrics.lookups.WithLabelValues("unknown").Inc()
	}
	return true
}

// write notes a request that may change an entity, before its owner is looked up:
// so no hand-over comes between the two. It answers, and returns false, where the
// entity is handed over just now. For any other request it does nothing.
//
// The write goes on when its client leaves: it counts as under way until the
// backend has answered.
func (b *births) write(w http.ResponseWriter, r **http.Request, t *route.Table) (end func(e *exchange), ok bool) {
	if slices.Contains(plan.SafeMethods, (*r).Method) {
		return nil, true
	}
	id := t.Entity(*r)
	if id == "" {
		return nil, true
	}
	leave, ok := b.owners.Write(id)
	if !ok {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "the entity is handed over just now")
		return nil, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel((*r).Context()), createTime)
	*r = (*r).WithContext(ctx)
	return func(e *exchange) {
		cancel()
		leave(e == nil || !e.unsure)
	}, true
}

// expect reports whether a request to modern creates an entity. Its path must
// still be that of the plan, without what the backend's URL has.
func (b *births) expect(out *http.Request) bool {
	if b.born == nil || !slices.Contains(b.born.Methods, out.Method) {
		return false
	}
	path, ok := route.Path(out.URL)
	if !ok || strings.TrimSuffix(path, "/") != strings.TrimSuffix(b.born.Path, "/") {
		return false
	}
	// The answer must be readable.
	out.Header.Del("Accept-Encoding")
	return true
}

// errUnrecordable: modern was not asked.
var errUnrecordable = errors.New("the birth of an entity cannot be recorded")

// create sends a request that creates an entity, and returns its answer when the
// birth is recorded. It goes on when the client leaves.
func (e *exchange) create(r *http.Request) (*http.Response, error) {
	if err := e.births.owners.CanRecord(r.Context()); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnrecordable, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), createTime)
	res, err := e.side.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = &canceling{res.Body, cancel}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return res, nil
	}
	if err := e.births.record(ctx, res); err != nil {
		return nil, errors.Join(err, res.Body.Close())
	}
	return res, nil
}

// canceling is the body of an answer whose request has a deadline of its own.
type canceling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *canceling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// errUnrecorded: modern did what it was asked to, and nobody must learn of it.
var errUnrecorded = errors.New("the birth of an entity was not recorded")

// record notes the entity of an answer, whose body stays whole. An answer without
// an id is given on as it is: holding it back would help nobody.
func (b *births) record(ctx context.Context, res *http.Response) error {
	read, err := io.ReadAll(io.LimitReader(res.Body, createAnswer))
	rest := io.Reader(res.Body)
	if err != nil {
		rest = broken{err}
	}
	id, why := idIn(read, b.id)
	res.Body = &replayed{io.MultiReader(bytes.NewReader(read), rest), res.Body}
	if why == nil {
		why = b.owners.Record(ctx, b.plan, id)
		if why != nil {
			b.log.Error("modern created an entity whose birth could not be recorded: its client got 503", "id", id, "error", why.Error())
			return fmt.Errorf("%w: %w", errUnrecorded, why)
		}
		return nil
	}
	b.owners.Unreadable()
	b.log.Error("modern created an entity and its answer has no id where spec.entities.born says: requests for it go by the routes",
		"path", b.born.Path, "id", b.born.ID, "error", why.Error())
	return nil
}

// replayed is a body that was read in part.
type replayed struct {
	io.Reader
	io.Closer
}

// broken is the rest of a body that could not be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// idIn finds the id in a JSON document. Numbers are ids as they are written.
func idIn(body []byte, fields []string) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("read the answer as JSON: %w", err)
	}
	for _, f := range fields {
		m, ok := v.(map[string]any)
		if !ok {
			return "", fmt.Errorf("no object has the field %q", f)
		}
		v = m[f]
	}
	switch id := v.(type) {
	case string:
		return id, plan.CheckEntityID(id)
	case json.Number:
		return id.String(), nil
	}
	return "", errors.New("the field is neither text nor a number")
}

// Owner is who owns an entity: by its id, or by the path of a request for it. An
// unknown one is legacy's, and one of a plan without entities too.
func (h *Handler) Owner(id, path string) (side plan.Side, l route.Lookup, ok bool) {
	s := h.serving.Load()
	if s == nil {
		return "", route.NoEntity, false
	}
	side, l = s.table.OwnerOf(id, path)
	return side, l, true
}

// ModernOwns reports whether modern owns any entity of the plan that is served; ok
// is false where it has none, and while the owners are not known.
func (h *Handler) ModernOwns() (owns, ok bool) {
	if s := h.serving.Load(); s == nil || s.births == nil || !h.owners.Ready() {
		return false, false
	}
	return h.owners.ModernOwns(), true
}
