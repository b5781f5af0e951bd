package bridge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Version of the file's format. A bridge refuses any other.
const Version = 1

// Config is what a bridge serves: one stop of one plan.
type Config struct {
	Version int `json:"version"`
	// Hash names everything but Hash and Mark; see Config.Sum.
	Hash string        `json:"hash"`
	Plan plan.Key      `json:"plan"`
	Stop plan.Position `json:"stop"`
	// Salt goes into every bucket.
	Salt string `json:"salt"`
	// Identity is what keeps a caller on one side; nil: each request of a
	// split gets a bucket of its own.
	Identity *Identity `json:"identity,omitempty"`
	// Override lets some callers choose their side; nil: none.
	Override *plan.Override `json:"override,omitempty"`
	Backends plan.Backends  `json:"backends"`
	// Rules are tried in order, the first match wins. The last one matches
	// everything.
	Rules []Rule `json:"rules"`
	// Translations that rules name.
	Translations map[string]plan.Translation `json:"translations,omitempty"`
	// Entities say where requests name an entity; nil: the plan has none.
	Entities *Entities `json:"entities,omitempty"`
	// Behind names the gateway that stands before the bridge and sends it a part of
	// the plan's requests; empty: none does. A bridge takes such a config only
	// where it trusts a proxy to say who the caller is: all would be one otherwise.
	Behind string `json:"behind,omitempty"`
	// Mark does not count for the hash.
	Mark *Mark `json:"mark,omitempty"`
}

// Identity says where a caller's key is found: exactly one field is set.
type Identity struct {
	Header   string `json:"header,omitempty"`
	Cookie   string `json:"cookie,omitempty"`
	Query    string `json:"query,omitempty"`
	ClientIP bool   `json:"clientIP,omitempty"`
}

// Entities are those of plan.Entities, with the defaults spelled out.
type Entities struct {
	// Paths are read by plan.EntityPath; the first that matches has the id.
	Paths  []string          `json:"paths,omitempty"`
	Bodies []plan.EntityBody `json:"bodies,omitempty"`
	Born   *plan.Born        `json:"born,omitempty"`
	// Probe is plan.Entities.Probe.
	Probe string `json:"probe,omitempty"`
}

// Rule sends what matches to one side, splits it, or answers it. Exactly one
// of To and Respond is set, and with Respond nothing else but Match.
type Rule struct {
	// Match is nil where everything matches.
	Match *plan.Match `json:"match,omitempty"`
	To    plan.Dest   `json:"to,omitempty"`
	// Percent of the callers that go to modern; set for a split alone.
	Percent *plan.Percent `json:"percent,omitempty"`
	Respond *plan.Respond `json:"respond,omitempty"`
	// Mirror copies requests to modern as well; nil: none.
	Mirror *Mirror `json:"mirror,omitempty"`
	// Rewrite changes requests and their copies on their way; nil: nothing.
	Rewrite *plan.Rewrite `json:"rewrite,omitempty"`
	// Translate names the translation of what goes to modern, copies too.
	Translate string `json:"translate,omitempty"`
}

// Mirror copies requests to modern, whose answers reach nobody.
type Mirror struct {
	// Percent of the requests that are copied, drawn for each.
	Percent plan.Percent `json:"percent"`
	// Unsafe: requests that are not safe are copied too. Else only GET, HEAD
	// and OPTIONS are.
	Unsafe bool `json:"unsafe,omitempty"`
	// Compare judges modern's answers by legacy's; nil: they are dropped.
	Compare *plan.Comparison `json:"compare,omitempty"`
}

// Mark is what lets a lost record be rebuilt from the file: since when the
// stop stands, by which revision, and what was held then.
type Mark struct {
	Since    time.Time       `json:"since,omitzero"`
	Revision plan.Revision   `json:"revision,omitempty"`
	Holds    []plan.Revision `json:"holds,omitempty"`
}

// Sum is the hash that the config must carry: the first 128 bits of SHA-256, in
// hex, over the JSON of everything but Hash and Mark. The stop counts, so that
// two stops with equal routes are told apart when they are observed.
func (c Config) Sum() (string, error) {
	c.Hash, c.Mark = "", nil
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("hash bridge config: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// Encode is the file: indented JSON with a newline at its end. Equal configs
// encode to equal bytes.
func (c Config) Encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("encode bridge config: %w", err)
	}
	if buf.Len() > MaxBytes {
		return nil, fmt.Errorf("encode bridge config: it takes %d bytes, a bridge reads at most %d: use fewer or shorter routes", buf.Len(), MaxBytes)
	}
	return buf.Bytes(), nil
}
