package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/owner"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/bridge"
)

// Ownership says where the owners of entities are kept.
type Ownership struct {
	// URL of the store; empty: the bridge knows no owners.
	URL string
	// PasswordFile holds the password of a PostgreSQL; empty: none.
	PasswordFile string
	// Spool is the folder for births that wait for the store.
	Spool string
}

func (o *Ownership) declare(fs *flag.FlagSet) {
	fs.StringVar(&o.URL, "ownership", "", "`URL` of the table of entities and their owners: sqlite:///PATH for the bridges of one host, postgres://USER@HOST:PORT/DATABASE for more")
	fs.StringVar(&o.PasswordFile, "ownership-password-file", "", "`FILE` with the password for --ownership, read for each connection")
	fs.StringVar(&o.Spool, "ownership-spool", "", "`FOLDER` on a disk that stays, where entities that modern creates are noted until the table has them; required with --ownership")
}

func (o Ownership) check() error {
	switch {
	case o.URL == "" && (o.PasswordFile != "" || o.Spool != ""):
		return fmt.Errorf("%w: --ownership-password-file and --ownership-spool need --ownership", errUsage)
	case o.URL != "" && o.Spool == "":
		return fmt.Errorf("%w: --ownership needs --ownership-spool FOLDER, on a disk that stays", errUsage)
	case ownership.HasPassword(o.URL):
		return fmt.Errorf("%w: --ownership holds a password, which everybody sees in the list of processes: put it into --ownership-password-file", errUsage)
	}
	return nil
}

// open returns nil where no owners are known.
func (o Ownership) open(reg prometheus.Registerer, log *slog.Logger) (*owner.Keeper, error) {
	if o.URL == "" {
		return nil, nil
	}
	var password func() (string, error)
	if o.PasswordFile != "" {
		password = o.password
	}
	store, err := ownership.Open(o.URL, password)
	if err != nil {
		return nil, err
	}
	k, err := owner.New(owner.Options{Store: store, Spool: o.Spool, Registry: reg, Log: log, Now: time.Now})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return k, nil
}

func (o Ownership) password() (string, error) {
	b, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read --ownership-password-file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// owner answers with the side of an entity: of an id, or of the path of a request
// in uri or in the header X-Original-URI. It is for nginx, whose auth_request
// takes any status but 2xx, 401 and 403 for a failure.
func (b *Bridge) owner(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id, uri := q.Get("id"), q.Get("uri")
	if uri == "" && id == "" {
		uri = r.Header.Get("X-Original-Uri")
	}
	path := ""
	if u, err := url.ParseRequestURI(uri); err == nil {
		path, _ = route.Path(u)
	}
	side, l, ok := b.proxy.Owner(id, path)
	if !ok || l == route.NotReady {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set(bridge.HeaderSide, string(side))
	if l == route.Owned {
		w.Header().Set(bridge.HeaderOwner, string(side))
	}
	w.WriteHeader(http.StatusNoContent)
}

// settleWait is how long a bridge waits for writes to an entity to end.
const settleWait = time.Second

// settle answers when what the table said of an entity is in force here, and no
// write that began before is under way.
func (b *Bridge) settle(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id := q.Get("id")
	revision, err := strconv.ParseInt(q.Get("revision"), 10, 64)
	switch {
	case err != nil || id == "":
		http.Error(w, "changeover-bridge: want ?id= and ?revision=", http.StatusBadRequest)
		return
	case b.owners == nil:
		http.Error(w, "changeover-bridge: it knows no owners: start it with --ownership", http.StatusConflict)
		return
	}
	if why := b.unsettled(); why != "" {
		http.Error(w, "changeover-bridge: "+why, http.StatusConflict)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), settleWait)
	defer cancel()
	if err := b.owners.Settle(ctx, id, revision); err != nil {
		http.Error(w, "changeover-bridge: "+oneLine(err.Error()), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// unsettled says why this bridge cannot vouch for all writes of its address; empty:
// it can. One that it replaces, or that replaces it, has writes of its own; and one
// that was killed may have had some, of which nobody knows.
func (b *Bridge) unsettled() string {
	switch {
	case b.replaced.Load():
		return "another bridge takes its place"
	case b.o.inherit && os.Getppid() == b.parent:
		return "the bridge before it still ends its requests"
	case !b.o.inherit && time.Since(b.started) < owner.UnsureFor:
		return "it has just started, and writes of a bridge before it may be under way"
	}
	return ""
}
