package plan

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Entities are long-lived things with one owner, such as deployments: their
// requests go to the side that owns them.
//
// As long as modern owns any entity, a request that names one with a known owner
// goes to that owner at every stop, whatever the routes say: going back never
// strands what was born on modern.
type Entities struct {
	// Match; absent where the owner is a label.
	Match EntityMatch `json:"match,omitzero"`
	// Born says how modern is seen to create one; where the file does not, by
	// POST to the first path without its /{id}, and the field id of the answer.
	Born *Born `json:"born,omitempty"`

	// Probe is the path, with a segment {id}, at which modern is asked by GET whether
	// it has an entity that nobody is known to own. One that it has is recorded as
	// its own. Empty: such an entity is legacy's.
	Probe string `json:"probe,omitempty"`

	// Source is legacy's inventory. With it entities are compared and handed over.
	Source *Inventory `json:"source,omitempty"`
	// Owner says where the owner stands: label, on the Kubernetes object that source
	// lists; empty: in the ownership table. With label, expressions read `object` in
	// place of `item`, and verify.equal compares what both controllers wrote into it.
	Owner EntityOwner `json:"owner,omitempty"`
	// Rules put objects on a side, with owner: label; the first that is true counts.
	Rules []EntityRule `json:"rules,omitempty"`
	// ID is CEL over `item` of legacy's inventory. Empty in a file means item.id.
	ID string `json:"id,omitempty"`
	// Live is CEL over `item`: whether legacy still serves it, and does not only
	// remember it. Empty: whatever is listed is live.
	Live string `json:"live,omitempty"`
	// Order is CEL over `item`, a time, a number or a text: the lowest is handed
	// over first. Empty: in the order of the ids.
	Order string `json:"order,omitempty"`
	// InFlight is CEL over `item`: whether work on it is under way, so that it is
	// not handed over now. Empty: none is.
	InFlight string `json:"inFlight,omitempty"`
	// Modern is modern's own inventory: what it lists is compared with legacy's.
	Modern *ModernInventory `json:"modern,omitempty"`
	// Values are maps from legacy's words to modern's, by name. Expressions read
	// values.NAME[...]; a word that is not there is an error, never a guess.
	Values map[string]map[string]string `json:"values,omitempty"`
	// Sync keeps what modern knows of legacy's entities current before they are
	// handed over.
	Sync *EntitySync `json:"sync,omitempty"`
	// Verify says when legacy's and modern's idea of an entity agree.
	Verify *EntityVerify `json:"verify,omitempty"`
	// HandOver are the steps, in order, that give an entity to modern. Each must be
	// safe to repeat.
	HandOver []EntityStep `json:"handOver,omitempty"`
	// HandBack are those that give it back to legacy.
	HandBack []EntityStep `json:"handBack,omitempty"`
	// Rate is how many entities are handed over, or synced, in a second at most.
	// Zero in a file means the default, 10.
	Rate float64 `json:"rate,omitempty"`
	// Concurrency is how many of them at once. Zero in a file means the default, 4.
	Concurrency int `json:"concurrency,omitempty"`
	// Interval between two comparisons of the inventories. Zero in a file means the
	// default, 5m.
	Interval Duration `json:"interval,omitempty"`
}

// EntityMatch says where a request names an entity: in one of its paths, of which
// Path or Paths is set, or else in the body.
type EntityMatch struct {
	// Path with one segment {id}, as in /deployments/{id}. What lies below it
	// belongs to the entity too.
	Path string `json:"path,omitempty"`
	// Paths are several of them; the first that fits has the id.
	Paths []string `json:"paths,omitempty"`
	// Bodies are requests that name an entity in their body and not in their path.
	Bodies []EntityBody `json:"bodies,omitempty"`
}

// EntityBody says where the JSON body of requests has the id of an entity. A body
// without the field names none.
type EntityBody struct {
	// Methods of the requests. Empty in a file means POST, PUT and PATCH.
	Methods []string `json:"methods,omitempty"`
	// Path of the requests, whole.
	Path string `json:"path"`
	// ID is body.FIELD, or body.FIELD.FIELD.
	ID string `json:"id"`
}

// All are the paths.
func (m EntityMatch) All() []string {
	if m.Path != "" {
		return []string{m.Path}
	}
	return m.Paths
}

// Born says how an entity is created on modern: by a request with one of the
// methods and the path, as modern gets it, that is answered with 2xx and a JSON
// body.
type Born struct {
	Methods []string `json:"methods,omitempty"`
	Path    string   `json:"path"`
	// ID is where the answer has the id: body.FIELD, or body.FIELD.FIELD.
	ID string `json:"id,omitempty"`
}

// entityDefaults fills in what a file leaves out.
func entityDefaults(e *Entities) {
	if e.Born == nil && e.Routed() {
		if all := e.Match.All(); len(all) > 0 {
			if created, ok := strings.CutSuffix(all[0], "/"+idSegment); ok && created != "" {
				e.Born = &Born{Path: created}
			}
		}
	}
	for i := range e.Match.Bodies {
		if b := &e.Match.Bodies[i]; len(b.Methods) == 0 {
			b.Methods = []string{"POST", "PUT", "PATCH"}
		}
	}
	if b := e.Born; b != nil {
		if len(b.Methods) == 0 {
			b.Methods = []string{"POST"}
		}
		if b.ID == "" {
			b.ID = "body.id"
		}
	}
	inventoryDefaults(e)
}

// idSegment is the segment of a path that is the id of an entity.
const idSegment = "{id}"

// EntityPath reads the id of an entity out of a path.
type EntityPath struct{ before, after string }

// ParseEntityPath reads a path with exactly one segment {id}.
func ParseEntityPath(s string) (EntityPath, error) {
	before, after, _ := strings.Cut(s, "/"+idSegment)
	switch {
	case !strings.HasPrefix(s, "/"):
		return EntityPath{}, fmt.Errorf("path %q does not begin with /", s)
	case strings.Count(s, idSegment) != 1:
		return EntityPath{}, fmt.Errorf("path %q has %d segments {id}, want one", s, strings.Count(s, idSegment))
	case !strings.Contains(s, "/"+idSegment), after != "" && after[0] != '/', strings.ContainsAny(before+after, "{}"):
		return EntityPath{}, fmt.Errorf("path %q: {id} must be a whole segment, and the only one in braces", s)
	}
	return EntityPath{before: before + "/", after: strings.TrimSuffix(after, "/")}, nil
}

// ID is the id in a decoded, normalized path; empty where it has none.
func (p EntityPath) ID(path string) string {
	rest, ok := strings.CutPrefix(path, p.before)
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	below, ok := strings.CutPrefix(rest[len(id):], p.after)
	if !ok || below != "" && below[0] != '/' {
		return ""
	}
	return id
}

// Around are what stands before the id and behind it, in a decoded, normalized
// path.
func (p EntityPath) Around() (before, after string) { return p.before, p.after }

// mayMeet reports whether a path that begins with prefix can have an id.
func (p EntityPath) mayMeet(prefix string) bool {
	if strings.HasPrefix(p.before, prefix) {
		return true
	}
	rest, ok := strings.CutPrefix(prefix, p.before)
	if !ok {
		return false
	}
	_, below, deeper := strings.Cut(rest, "/")
	below = "/" + below
	return !deeper || strings.HasPrefix(p.after, below) || strings.HasPrefix(below, p.after)
}

// MaxEntityID is the longest id of an entity, in bytes.
const MaxEntityID = 512

// CheckEntityID says why a text cannot be the id of an entity: it is empty, longer
// than MaxEntityID, or could not stand in one segment of a path.
func CheckEntityID(id string) error {
	switch {
	case id == "" || id == "." || id == "..":
		return fmt.Errorf("%q is no id", id)
	case len(id) > MaxEntityID:
		return fmt.Errorf("the id has %d bytes, want at most %d", len(id), MaxEntityID)
	case !utf8.ValidString(id), strings.ContainsFunc(id, unicode.IsControl), strings.Contains(id, "/"):
		return fmt.Errorf("the id %q holds a slash, a control character or no UTF-8", id)
	}
	return nil
}

// ParseIDPath reads where an answer has the id: the names of the fields that lead
// there from the body.
func ParseIDPath(s string) ([]string, error) {
	fields, ok := strings.CutPrefix(s, "body.")
	if !ok {
		return nil, fmt.Errorf("%q is no place in an answer: want body.FIELD", s)
	}
	names := strings.Split(fields, ".")
	for _, n := range names {
		if n == "" || strings.Trim(n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			return nil, fmt.Errorf("%q is no place in an answer: want names of fields with dots between", s)
		}
	}
	if len(names) > maxIDPath {
		return nil, errors.New("the place in an answer is too deep")
	}
	return names, nil
}

// maxIDPath is how deep in an answer an id may be.
const maxIDPath = 16
