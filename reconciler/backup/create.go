package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// Count is how far work is. Done and Failed are those that ended well, and those
// that did not; Total is 0 while it is not known.
type Count struct{ Total, Done, Failed int }

// Creation asks for a backup.
type Creation struct {
	Client *client.Client
	Store  *Store
	Plan   plan.Key
	// Phase before which it is made, and what it asks for.
	Phase  string
	Backup plan.Backup
	// Revision whose move it is made for; empty: it is made by hand.
	Revision plan.Revision
	Now      func() time.Time
	Show     func(Count) // nil: nobody watches
}

// Create makes a backup and reads it back. Only then it is one: where anything
// fails there is none.
func Create(ctx context.Context, c Creation) (Manifest, error) {
	m, err := create(ctx, c)
	if err != nil {
		return Manifest{}, fmt.Errorf("back up %s for phase %s: %w", c.Plan, c.Phase, err)
	}
	return m, nil
}

func create(ctx context.Context, c Creation) (Manifest, error) {
	if c.Show == nil {
		c.Show = func(Count) {}
	}
	recipients, err := recipientsOf(c.Backup)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{
		Format: format, Plan: c.Plan, Phase: c.Phase, Revision: c.Revision,
		Begun: c.Now().UTC().Truncate(time.Millisecond), Retention: cmp.Or(c.Backup.Retention, plan.DefaultRetention),
	}
	m.Name = nameOf(m)
	switch taken, err := c.Store.List(ctx, c.Plan); {
	case err != nil:
		return Manifest{}, err
	case slices.ContainsFunc(taken, func(s Stored) bool { return s.Name == m.Name }):
		return Manifest{}, fmt.Errorf("there is a backup %s already: it is tried again", m.Name)
	}
	w, err := newWriter(ctx, c.Store, at(c.Plan, m.Name, ""), recipients)
	if err != nil {
		return Manifest{}, err
	}
	if err := save(ctx, c, w, &m); err != nil {
		w.discard()
		return Manifest{}, err
	}
	if m.Files, err = w.close(); err != nil {
		w.discard()
		return Manifest{}, errors.Join(err, c.Store.Delete(context.WithoutCancel(ctx), c.Plan, m.Name))
	}
	m.Bytes = m.Files.Objects.Bytes + m.Files.Index.Bytes
	if f := m.Files.Secrets; f != nil {
		m.Bytes += f.Bytes
	}
	m.Ended = c.Now().UTC().Truncate(time.Millisecond)
	if err := publish(ctx, c, &m); err != nil {
		return Manifest{}, errors.Join(err, c.Store.Delete(context.WithoutCancel(ctx), c.Plan, m.Name))
	}
	return m, nil
}

// nameOf is when a backup was begun, and what it was made for.
func nameOf(m Manifest) string {
	s := m.Begun.Format("20060102T150405.000Z") + "-" + m.Phase
	if m.Revision != "" {
		s += "-" + m.Revision.Short()
	}
	return s
}

func recipientsOf(b plan.Backup) ([]age.Recipient, error) {
	if !b.IncludeSecrets {
		return nil, nil
	}
	var out []age.Recipient
	for _, s := range b.Recipients {
		r, err := age.ParseX25519Recipient(s)
		if err != nil {
			return nil, fmt.Errorf("read recipient %s: it is no public key of age", s)
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, errors.New("Secrets are only saved encrypted, and the plan names no recipients") //nolint:staticcheck // Secrets are a kind
	}
	return out, nil
}

// save writes the objects of all kinds: first namespaces and definitions, last
// Secrets.
func save(ctx context.Context, c Creation, w *writer, m *Manifest) error {
	kinds := slices.Clone(c.Backup.Include)
	slices.SortStableFunc(kinds, func(a, b plan.BackupKind) int { return cmp.Compare(turn(a), turn(b)) })
	var lists []*pages
	count := Count{}
	for _, k := range kinds {
		p, err := pagesOf(c.Client, k)
		if err != nil {
			return err
		}
		n, err := p.count(ctx)
		if err != nil {
			return err
		}
		lists, count.Total = append(lists, p), count.Total+n
	}
	seen := seenOf(kinds)
	for _, p := range lists {
		k := Kind{BackupKind: p.kind}
		err := p.each(ctx, func(o *unstructured.Unstructured) error {
			if seen.before(o) {
				return nil
			}
			if o.GetDeletionTimestamp() != nil {
				k.Leaving++
				return nil
			}
			k.Objects++
			count.Done++
			count.Total = max(count.Total, count.Done)
			c.Show(count)
			return w.add(o.Object, string(o.GetUID()))
		})
		if err != nil {
			return err
		}
		k.Changing = p.changing
		m.Kinds, m.Objects = append(m.Kinds, k), m.Objects+k.Objects
	}
	return nil
}

// turn is when a kind is saved.
func turn(k plan.BackupKind) int {
	if k.Secret() {
		return 3
	}
	return ID{APIVersion: k.APIVersion, Kind: k.Kind}.rank()
}

// seen are the objects of kinds that are in the list several times, as those may
// have some in common.
type seen struct {
	several map[ID]bool // by apiVersion and kind
	ids     map[ID]bool
}

func seenOf(kinds []plan.BackupKind) seen {
	s := seen{several: map[ID]bool{}, ids: map[ID]bool{}}
	once := map[ID]bool{}
	for _, k := range kinds {
		id := ID{APIVersion: k.APIVersion, Kind: k.Kind}
		s.several[id] = once[id]
		once[id] = true
	}
	return s
}

// before reports whether an object came before.
func (s seen) before(o *unstructured.Unstructured) bool {
	id := idOf(o.Object)
	if !s.several[ID{APIVersion: id.APIVersion, Kind: id.Kind}] {
		return false
	}
	was := s.ids[id]
	s.ids[id] = true
	return was
}

// publish reads back what was written, and then writes the manifest.
func publish(ctx context.Context, c Creation, m *Manifest) error {
	r, err := verify(ctx, c.Store, m, nil, nil)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if !r.OK() {
		return fmt.Errorf("read it back: it is not what was written: %s", r.Summary())
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	return c.Store.write(ctx, at(m.Plan, m.Name, fileManifest), b)
}

// Counts says how many objects a backup would have now.
func Counts(ctx context.Context, c *client.Client, b plan.Backup) ([]Kind, error) {
	var out []Kind
	for _, k := range b.Include {
		p, err := pagesOf(c, k)
		if err != nil {
			return nil, err
		}
		n, err := p.count(ctx)
		if err == nil && k.Selector != "" { // the API server does not count these
			n = 0
			err = p.each(ctx, func(*unstructured.Unstructured) error { n++; return nil })
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Kind{BackupKind: k, Objects: n})
	}
	return out, nil
}
