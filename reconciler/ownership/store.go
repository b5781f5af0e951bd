package ownership

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Origin is how an entity came to its owner.
type Origin string

// The origins.
const (
	BornLegacy Origin = "bornLegacy"
	BornModern Origin = "bornModern"
	Migrated   Origin = "migrated" // handed over
	// Ended is of one that is no more. Its row stays, so that requests still go to
	// its last owner, which knows that.
	Ended Origin = "ended"
)

// Entity is one row of a plan's table.
type Entity struct {
	ID     string
	Owner  plan.Side
	Origin Origin
	// Batch in which it was handed over; empty: in none.
	Batch string
	// At is when it came to its owner. Stores keep milliseconds.
	At time.Time
	// Block is the token of a hand-over that is under way; empty: none is. While
	// there is one, nobody writes to the entity. See Blocker.
	Block string
	// Revision of the change that wrote the row; given by the store.
	Revision int64
}

func (e Entity) check() error {
	if err := plan.CheckEntityID(e.ID); err != nil {
		return err
	}
	if e.Owner != plan.Legacy && e.Owner != plan.Modern {
		return fmt.Errorf("entity %q: owner %q, want legacy or modern", e.ID, e.Owner)
	}
	if !slices.Contains([]Origin{BornLegacy, BornModern, Migrated, Ended}, e.Origin) {
		return fmt.Errorf("entity %q: origin %q, want bornLegacy, bornModern, migrated or ended", e.ID, e.Origin)
	}
	return nil
}

// Store holds the tables of any number of plans, for any number of processes.
// Methods may be called from any goroutine. Every call ends within a deadline of
// its own, also where its context has none; errors hold no password.
type Store interface {
	// Add records entities whose ids are not in the table. Those that are there
	// stay as they are. When it returns nil, what it wrote survives a crash.
	Add(ctx context.Context, key plan.Key, entities []Entity) error
	// Put records entities in place of what the table has of their ids.
	Put(ctx context.Context, key plan.Key, entities []Entity) error
	// Changes are the rows with a revision above after, at most limit, in the
	// order of their revisions.
	Changes(ctx context.Context, key plan.Key, after int64, limit int) (Page, error)
	// Wait returns when there may be changes above after, at the latest after
	// WaitFor. One goroutine at a time may wait.
	Wait(ctx context.Context, key plan.Key, after int64) error
	Blocker
	Close() error
}

// Blocker changes owners, one entity at a time.
//
// A hand-over sets a block, waits until every bridge keeps writes off and has
// finished those under way, lets modern take the entity over, and flips the
// owner. A block that lasts for too long is lifted by any bridge, without asking
// whether its setter lives. All of these are changes of one row in one store, so
// they have an order: once a block was lifted or replaced, a flip by its token
// fails, and whoever wrote to the old owner meanwhile has lost nothing. No clock
// is compared with another.
type Blocker interface {
	// Get is one row; ok is false where the table has none.
	Get(ctx context.Context, key plan.Key, id string) (e Entity, ok bool, err error)
	// Block sets the block of an entity of the table, in place of any that it
	// has, and returns the revision from which it is seen. ErrUnknown: the table
	// does not have the entity.
	Block(ctx context.Context, key plan.Key, id, token string) (revision int64, err error)
	// Unblock lifts a block, where it is still that of the token.
	Unblock(ctx context.Context, key plan.Key, id, token string) error
	// Flip gives a blocked entity to the owner in e and lifts the block, in one
	// change. ErrBlockLost: the block is not the token's any more, and nothing
	// was changed.
	Flip(ctx context.Context, key plan.Key, e Entity, token string) (revision int64, err error)
}

// What Block and Flip answer.
var (
	ErrUnknown   = errors.New("the ownership table does not have the entity")
	ErrBlockLost = errors.New("the block was lifted by another")
)

// Page is a part of a table.
type Page struct {
	Entities []Entity
	// Head is the highest revision that the table has had. One below what a
	// follower has read is that of a table that was restored or made anew.
	Head int64
}

// WaitFor is the longest that Store.Wait waits.
const WaitFor = 5 * time.Second

// The deadlines of calls.
const (
	writeTimeout = 5 * time.Second
	readTimeout  = 10 * time.Second
	openTimeout  = 5 * time.Second
)

// errURL says what is wanted, without the URL: it may hold a password.
var errURL = errors.New("want sqlite:///PATH, a path, or postgres://USER@HOST:PORT/DATABASE")

// Open opens a store: SQLite, for the processes of one host, by sqlite:///PATH or
// a path; PostgreSQL by postgres://. Password is asked for each new connection to
// PostgreSQL; nil: the URL and the client's own files say it.
//
// A PostgreSQL that cannot be reached is no error here but of each call, so that
// its clients start without it.
func Open(raw string, password func() (string, error)) (Store, error) {
	switch scheme, rest, _ := strings.Cut(raw, "://"); {
	case raw == "":
		return nil, fmt.Errorf("open ownership store: %w", errURL)
	case rest == "" && !strings.Contains(raw, "://"):
		return openSQLite(raw)
	case scheme == "sqlite":
		u, err := url.Parse(raw)
		if err != nil || u.Host != "" || u.User != nil || u.Path == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("open ownership store: %w", errURL)
		}
		return openSQLite(u.Path)
	case scheme == "postgres" || scheme == "postgresql":
		return openPostgres(raw, password)
	}
	return nil, fmt.Errorf("open ownership store: %w", errURL)
}

// HasPassword reports whether a store's URL holds a password, which everybody
// could read in the list of processes.
func HasPassword(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return strings.Contains(raw, "@")
	}
	_, set := u.User.Password()
	return set || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// distinct checks the entities and drops all but one of each id: the first, or
// the last.
func distinct(entities []Entity, last bool) ([]Entity, error) {
	out := make([]Entity, 0, len(entities))
	at := make(map[string]int, len(entities))
	for _, e := range entities {
		if err := e.check(); err != nil {
			return nil, err
		}
		i, seen := at[e.ID]
		switch {
		case !seen:
			at[e.ID] = len(out)
			out = append(out, e)
		case last:
			out[i] = e
		}
	}
	return out, nil
}
