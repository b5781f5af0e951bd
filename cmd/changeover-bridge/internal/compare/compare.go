package compare

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Verdict is what a comparison comes to.
type Verdict string

// The verdicts.
const (
	Matched    Verdict = "matched"
	Mismatched Verdict = "mismatched"
	// Ignored: what differs, rules excuse.
	Ignored Verdict = "ignored"
	// Errored: modern gave no whole answer.
	Errored Verdict = "errored"
	// NotComparable says nothing for or against modern.
	NotComparable Verdict = "not_comparable"
)

// Why answers are not comparable, beside the flaws of legacy's.
const (
	Absent       = "modern does not have it"
	BodyTooLarge = "body too large"
	TooDeep      = "JSON too deep"
	TooMuchWork  = "too much to compare"
	Encoding     = "encoding that cannot be read"
	Charset      = "charset that cannot be read"
)

// Result of a comparison.
type Result struct {
	Verdict Verdict
	// Note says why it is errored or not comparable.
	Note string
	// Differences that no rule excuses, at most one for each path.
	Differences []Difference
	// Excused by rules.
	Excused []Difference
}

// Request is what of a request counts.
type Request struct {
	Method string
	// OneThing: the path names one thing, not a list of them.
	OneThing bool
}

// Comparer compares the answers of one route. It is safe for use by several
// goroutines.
type Comparer struct {
	set     *ruleSet
	headers []string
	absent  bool // modern's absent answers are not comparable
	key     []byte
	ids     idPairs
}

// New makes a Comparer. The key goes into the hashes of values; it should be random,
// so that nobody finds a value by trying.
func New(c *plan.Comparison, key []byte) (*Comparer, error) {
	return newComparer(c, key, func(*plan.CompareRule) bool { return true })
}

// NewBaseline makes one for two answers of legacy: rules about what modern has in
// the place of something do not apply, and legacy may not lose what it has.
func NewBaseline(c *plan.Comparison, key []byte) (*Comparer, error) {
	out, err := newComparer(c, key, func(r *plan.CompareRule) bool { return len(r.Values) == 0 && !r.IDs })
	if err == nil {
		out.absent = false
	}
	return out, err
}

func newComparer(c *plan.Comparison, key []byte, keep func(*plan.CompareRule) bool) (*Comparer, error) {
	set, err := compile(c.Rules, keep)
	if err != nil {
		return nil, err
	}
	return &Comparer{
		set: set, headers: c.Headers, absent: c.Absent != plan.AbsentMismatched, key: key,
		ids: idPairs{toModern: map[id]id{}, toLegacy: map[id]id{}},
	}, nil
}

// Compare judges modern's answer by legacy's. Rules that have expired by now do not
// apply.
func (c *Comparer) Compare(r Request, legacy, modern *Answer, now time.Time) Result {
	w := &walk{c: c, now: now, key: c.key}
	note := w.answers(r, legacy, modern)
	out := Result{Note: note, Differences: w.found, Excused: w.excused}
	switch {
	case note != "" && modern.Flaw != "" && modern.Flaw != TooLarge:
		out.Verdict = Errored
	case note != "":
		out.Verdict = NotComparable
	case len(out.Differences) > 0:
		out.Verdict = Mismatched
	case len(out.Excused) > 0:
		out.Verdict = Ignored
	default:
		out.Verdict = Matched
	}
	if note != "" {
		out.Differences, out.Excused = nil, nil
	} else if len(out.Differences) == 0 {
		c.ids.learn(w.pairs)
	}
	return out
}

// answers compares all that counts. It returns why the two are not comparable.
func (w *walk) answers(r Request, legacy, modern *Answer) (note string) {
	switch {
	case modern.Flaw != "":
		return modern.Flaw
	case legacy.Flaw != "":
		return legacy.Flaw
	case w.c.absent && r.OneThing && (r.Method == http.MethodGet || r.Method == http.MethodHead) && legacy.Status/100 == 2 &&
		(modern.Status == http.StatusNotFound || modern.Status == http.StatusGone):
		return Absent
	}
	if !w.status(legacy.Status, modern.Status) {
		return ""
	}
	for _, name := range w.c.headers {
		w.header(name, legacy.Header, modern.Header)
	}
	if r.Method == http.MethodHead {
		return ""
	}
	return w.body(legacy, modern)
}

// status reports whether the bodies are worth comparing.
func (w *walk) status(a, b int) bool {
	if a == b {
		return true
	}
	x, y := number(a), number(b)
	rule, excused := w.c.set.text(w.c.set.status, string(x), string(y), w.now)
	w.note(Difference{Path: plan.FieldStatus, Kind: Value, Legacy: w.shown(x), Modern: w.shown(y), Rule: rule}, excused)
	return excused
}

func (w *walk) header(name string, legacy, modern http.Header) {
	a, hasA := headerOf(legacy, name)
	b, hasB := headerOf(modern, name)
	if a == b && hasA == hasB {
		return
	}
	d := Difference{Path: plan.FieldHeader + "." + http.CanonicalHeaderKey(name), Kind: Value, Legacy: w.shown(a), Modern: w.shown(b)}
	switch {
	case !hasA:
		d.Kind, d.Legacy = Added, Sample{Type: "absent"}
	case !hasB:
		d.Kind, d.Modern = Missing, Sample{Type: "absent"}
	}
	var excused bool
	d.Rule, excused = w.c.set.text(w.c.set.headers[strings.ToLower(name)], a, b, w.now)
	w.note(d, excused)
}

// headerOf is the value of a header; a media type is in one form.
func headerOf(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	value := strings.Join(values, ", ")
	if strings.EqualFold(name, "Content-Type") {
		if typ, params, err := mime.ParseMediaType(value); err == nil {
			if charset, ok := params["charset"]; ok {
				params["charset"] = strings.ToLower(charset)
			}
			value = mime.FormatMediaType(typ, params)
		}
	}
	return value, len(values) > 0
}

func (w *walk) body(legacy, modern *Answer) (note string) {
	sameForm := strings.EqualFold(legacy.Header.Get("Content-Encoding"), modern.Header.Get("Content-Encoding"))
	same := sameForm && bytes.Equal(legacy.Body, modern.Body)
	if rule, ignored := w.c.set.text(w.c.set.body, "", "", w.now); ignored {
		if !same {
			w.bytes(Value, legacy.Body, modern.Body, rule)
		}
		return ""
	}
	a, errA := legacy.decoded()
	b, errB := modern.decoded()
	switch {
	case errors.Is(errA, errTooLarge) || errors.Is(errB, errTooLarge):
		return BodyTooLarge
	case same && errA != nil:
		return ""
	case errA != nil || errors.Is(errB, errEncoding):
		return Encoding
	case errB != nil:
		w.bytes(Format, a, modern.Body, -1)
		return ""
	}
	typA, setA := legacy.media()
	typB, setB := modern.media()
	a, b = utf8Text(a, setA), utf8Text(b, setB)
	if bytes.Equal(a, b) && !w.c.set.strict {
		return ""
	}
	if isJSON(typA, a) || isJSON(typB, b) {
		if note, done := w.json(a, b); done {
			return note
		}
	}
	switch {
	case bytes.Equal(a, b):
		return ""
	case setA != setB && !(readable(setA) && readable(setB)):
		return Charset
	}
	w.bytes(Value, a, b, -1)
	return ""
}

// json compares bodies of which one at least says that it is JSON. Done is false
// where neither is.
func (w *walk) json(a, b []byte) (note string, done bool) {
	x, wrongA := parse(a)
	y, wrongB := parse(b)
	switch {
	case errors.Is(wrongA, errTooDeep) || errors.Is(wrongB, errTooDeep):
		return TooDeep, true
	case wrongA != nil && wrongB != nil:
		return "", false
	case wrongA != nil || wrongB != nil:
		w.bytes(Format, a, b, -1)
		return "", true
	}
	w.value(x, y, places{&w.c.set.root})
	if w.spent() {
		return TooMuchWork, true
	}
	return "", true
}

// readable reports whether texts in a charset can be compared with UTF-8.
func readable(charset string) bool {
	switch charset {
	case "", "utf-8", "utf8", "us-ascii", "iso-8859-1", "latin1":
		return true
	}
	return false
}

// bytes notes that bodies differ as a whole; rule: the one that excuses it, or -1.
func (w *walk) bytes(kind Kind, a, b []byte, rule int) {
	w.note(Difference{Path: plan.FieldBody, Kind: kind, Legacy: w.shownBytes(a), Modern: w.shownBytes(b), Rule: rule}, rule >= 0)
}

func (w *walk) shownBytes(b []byte) Sample {
	return Sample{Type: "bytes", Length: len(b), Hash: hash(w.key, "bytes", b)}
}

// hash is 32 bits of a keyed hash in hex: enough to see which values are equal.
func hash(key []byte, kind string, value []byte) string {
	sum := keyed(key, kind, value)
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 8)
	for _, b := range sum[:4] {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}

func keyed(key []byte, kind string, value []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(key)
	h.Write([]byte(kind + "\x00"))
	h.Write(value)
	return [sha256.Size]byte(h.Sum(nil))
}
