package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
)

// Bounds of the copy in the cluster.
const (
	maxHistory = 20
	maxChanges = 200
	maxStatus  = 512 << 10 // bytes of JSON
)

// errDamaged says that a record is not what was written.
var errDamaged = errors.New("it is damaged, or another version of Changeover wrote it")

const remedy = "run the version that wrote it, or delete the object: the record is then rebuilt from Git and the gateway"

// encode is the JSON of a record that bounded returned.
func encode(rec decide.Record) ([]byte, error) {
	b, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode the record: %w", err)
	}
	return b, nil
}

// decode refuses fields that it does not know: dropping one could drop a hold.
func decode(b []byte) (rec decide.Record, err error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rec); err != nil {
		return decide.Record{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return rec, nil
}

// digest is that of an encoded record.
func digest(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func raw(b []byte) *runtime.RawExtension { return &runtime.RawExtension{Raw: b} }

// recordIn reads the record in a status; ok is false where there is none. The
// server may have laid it out anew, so the checksum is that of the record
// encoded again.
func recordIn(s api.MigrationPlanStatus) (rec decide.Record, b []byte, ok bool, err error) {
	if s.Record == nil || len(s.Record.Raw) == 0 {
		if s.RecordSerial != 0 || s.RecordDigest != "" {
			return rec, nil, false, fmt.Errorf("%w: it is missing, and its serial or checksum is not", errDamaged)
		}
		return rec, nil, false, nil
	}
	if rec, err = decode(s.Record.Raw); err != nil {
		return decide.Record{}, nil, false, err
	}
	if b, err = encode(rec); err != nil {
		return decide.Record{}, nil, false, err
	}
	if digest(b) != s.RecordDigest || rec.Serial != s.RecordSerial {
		return decide.Record{}, nil, false, fmt.Errorf("%w: its checksum or its serial does not match", errDamaged)
	}
	return rec, b, true, nil
}

// bounded is a record for the cluster: with the newest changes, and without
// what JSON cannot hold.
func bounded(rec decide.Record) decide.Record {
	rec.Changes = rec.Changes[max(0, len(rec.Changes)-maxChanges):]
	rec.Holds = slices.Clone(rec.Holds)
	for i := range rec.Holds {
		rec.Holds[i].Evidence = finite(rec.Holds[i].Evidence)
	}
	if rec.Pending != nil {
		rec.Pending = new(*rec.Pending)
		rec.Pending.Evidence = finite(rec.Pending.Evidence)
	}
	return rec
}

// finite leaves out values that JSON cannot hold: a gate should never have
// given them, and they must not keep the intent of a rollback from being
// written. The caller's results stay as they are.
func finite(rs gates.Results) gates.Results {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].Values = maps.Clone(rs[i].Values)
		maps.DeleteFunc(rs[i].Values, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	}
	return rs
}

// fit keeps the status below its bound. What goes first is what the journal
// alone is asked for.
func (p *object) fit() error {
	steps := []func() error{
		func() error {
			p.status.History = slices.Clone(p.status.History)
			for i := range p.status.History {
				p.status.History[i].Evidence = nil
			}
			return nil
		},
		func() error { p.status.Blocks = nil; return nil }, // the message names them
		func() error { return p.reduce(withoutEvidence) },
		func() error {
			p.status.History = p.status.History[max(0, len(p.status.History)-5):]
			return nil
		},
	}
	for n := maxChanges / 2; n > 0; n /= 2 {
		steps = append(steps, func() error {
			return p.reduce(func(rec *decide.Record) { rec.Changes = rec.Changes[max(0, len(rec.Changes)-n):] })
		})
	}
	for _, step := range steps {
		if n, err := p.size(); err != nil || n <= maxStatus {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	n, err := p.size()
	if err == nil && n > maxStatus {
		err = fmt.Errorf("bound the status: %d bytes are more than %d", n, maxStatus)
	}
	return err
}

// size is about that of the status in bytes.
func (p *object) size() (int, error) {
	b, err := json.Marshal(p.status)
	if err != nil {
		return 0, fmt.Errorf("encode the status: %w", err)
	}
	return len(b) + len(p.record), nil
}

// reduce takes something out of the record.
func (p *object) reduce(take func(*decide.Record)) error {
	if p.record == nil {
		return nil
	}
	rec, err := decode(p.record)
	if err != nil {
		return err
	}
	take(&rec)
	p.record, err = encode(rec)
	return err
}

func withoutEvidence(rec *decide.Record) {
	for i := range rec.Holds {
		rec.Holds[i].Evidence = nil
	}
	if rec.Pending != nil {
		rec.Pending.Evidence = nil
	}
}
