package bridge

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// What a bridge says at VersionPath, beside the hash that it serves in the
// body, while the file on disk is one that it refuses.
const (
	// HeaderRejected is the Digest of the refused file.
	HeaderRejected = "X-Changeover-Rejected"
	// HeaderError says why, in one line.
	HeaderError = "X-Changeover-Error"
)

// HeaderSide names the side on requests to backends and on their answers.
const HeaderSide = "X-Changeover-Side"

// OwnerPath is where a bridge answers 204 with the side of an entity in HeaderSide,
// by `?id=ID`, `?uri=PATH` or the header X-Original-URI; and, where the owner is
// known, in HeaderOwner too. An unknown entity is legacy's.
const (
	OwnerPath   = ReservedPrefix + "owner"
	HeaderOwner = "X-Changeover-Owner"
)

// ReservedPrefix is answered by the bridge itself, never by a backend.
const ReservedPrefix = "/_changeover/"

// VersionPath is where a bridge answers with the hash of what it serves for
// the plan of that name, and a newline.
func VersionPath(name string) string { return ReservedPrefix + name + "/version" }

// SplitPath is where a bridge tells how it has split requests for the plan of
// that name, as Split in JSON.
func SplitPath(name string) string { return ReservedPrefix + name + "/split" }

// SettlePath is where a bridge of the plan of that name reads the ownership table
// up to ?revision=, waits until no write to the entity ?id= is under way, and
// answers 204; 409 where that does not come to pass within a second.
func SettlePath(name string) string { return ReservedPrefix + name + "/settle" }

// FactsPath is where a bridge tells what gates read of it for the plan of that
// name, as Facts in JSON.
func FactsPath(name string) string { return ReservedPrefix + name + "/facts" }

// Facts are what gates read of one bridge: numbers alone, no names.
type Facts struct {
	// Clients within the last hour; nil where they are not counted.
	Clients *RecentClients `json:"clients,omitempty"`
	// Shadow is the sum of the comparisons of all routes; nil where the stop
	// compares nothing.
	Shadow *ShadowCounts `json:"shadow,omitempty"`
	// ModernOwns says whether modern owns any entity of the plan; nil where it has
	// none, and while the owners are not known.
	ModernOwns *bool `json:"modernOwns,omitempty"`
}

// RecentClients are how many called each side within the last hour, or since the
// counting began.
type RecentClients struct {
	Since  time.Time `json:"since"`
	Legacy int       `json:"legacy"`
	Modern int       `json:"modern"`
}

// Bins is how many parts the buckets are counted by: one for each percent.
const Bins = 100

// Split is how one bridge has split requests since it serves its config.
type Split struct {
	Hash   string       `json:"hash"`
	Since  time.Time    `json:"since"`
	Routes []SplitRoute `json:"routes"`
}

// SplitRoute counts the requests of one rule that splits. Those of callers with
// a key are counted by the hundredths of the buckets.
type SplitRoute struct {
	Rule         int         `json:"rule"`
	Legacy       [Bins]int64 `json:"legacy"`
	Modern       [Bins]int64 `json:"modern"`
	RandomLegacy int64       `json:"randomLegacy"`
	RandomModern int64       `json:"randomModern"`
}

// Digest names the bytes of a file, which the hash of its content does not:
// the mark counts, and so does a file that does not parse.
func Digest(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:16])
}

// ClientsPath is where a bridge's admin address tells who calls which side, as
// Clients in JSON.
const ClientsPath = "/clients"

// Clients of one plan, as one bridge has seen them.
type Clients struct {
	Plan plan.Key `json:"plan"`
	// By is what a client is told by: user-agent, address or header:NAME.
	By    string                      `json:"by"`
	Since time.Time                   `json:"since"`
	Sides map[plan.Side]ClientsOfSide `json:"sides"`
}

// ClientsOfSide are those that were sent to a side, the most frequent first.
type ClientsOfSide struct {
	Requests int64    `json:"requests"`
	Clients  []Client `json:"clients"`
}

// Client is one of them. Over is how many of its requests may have been those of
// clients that are not known any more.
type Client struct {
	Name     string    `json:"name"`
	Requests int64     `json:"requests"`
	Over     int64     `json:"over,omitempty"`
	Last     time.Time `json:"last"`
}
