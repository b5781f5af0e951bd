package backup

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
)

const (
	// groupObjects and groupBytes bound a group, whichever is reached first.
	groupObjects = 100
	groupBytes   = 4 << 20
)

// out is a file that is being written: it is there once it was closed, and not
// at all where it was dropped.
type out struct {
	w     io.WriteCloser
	drop  context.CancelFunc
	store *Store
	at    string
	sum   hash.Hash
	file  File
}

func (s *Store) create(ctx context.Context, at string) (*out, error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err := s.bucket.NewWriter(ctx, at, nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("write %s: %w", at, cause(err))
	}
	return &out{w: w, drop: cancel, store: s, at: at, sum: sha256.New()}, nil
}

// Write implements io.Writer.
func (o *out) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	o.sum.Write(b[:n])
	o.file.Bytes += int64(n)
	if err != nil {
		return n, fmt.Errorf("write %s: %w", o.at, cause(err))
	}
	return n, nil
}

// close makes the file, durably.
func (o *out) close() error {
	defer o.drop()
	if err := o.w.Close(); err != nil {
		return fmt.Errorf("write %s: %w", o.at, cause(err))
	}
	o.file.SHA256 = hex.EncodeToString(o.sum.Sum(nil))
	return o.store.sync(o.at)
}

// discard gives the file up.
func (o *out) discard() {
	o.drop()
	_ = o.w.Close() // it says that it was dropped
}

// writer writes the files of one backup but its manifest.
type writer struct {
	objects, index *out
	lines          *gzip.Writer // into index
	group          bytes.Buffer // lines of the group under way
	inGroup        int
	sealed         *sealed // nil where there are no Secrets
}

// newWriter opens the files. With recipients there is one for Secrets.
func newWriter(ctx context.Context, s *Store, prefix string, recipients []age.Recipient) (w *writer, err error) {
	w = &writer{}
	defer func() {
		if err != nil {
			w.discard()
		}
	}()
	if w.objects, err = s.create(ctx, prefix+fileObjects); err != nil {
		return w, err
	}
	if w.index, err = s.create(ctx, prefix+fileIndex); err != nil {
		return w, err
	}
	w.lines = gzip.NewWriter(w.index)
	if len(recipients) > 0 {
		w.sealed, err = newSealed(ctx, s, prefix, recipients)
	}
	return w, err
}

func (w *writer) discard() {
	for _, o := range []*out{w.objects, w.index} {
		if o != nil {
			o.discard()
		}
	}
	if w.sealed != nil {
		w.sealed.out.discard()
	}
}

// add writes one live object. Secrets are to come after all others.
func (w *writer) add(live map[string]any, uid string) error {
	o := strip(live)
	id := idOf(o)
	line, s, err := encode(o)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	e := Entry{ID: id, UID: uid, SHA256: s.whole}
	if s.body != s.whole {
		e.Body = s.body
	}
	if isSecret(id) {
		if w.sealed == nil {
			return fmt.Errorf("%s: Secrets are only saved encrypted, and there are no recipients", id)
		}
		if e, err = w.sealed.add(e, line); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		return w.entry(e)
	}
	if w.inGroup == groupObjects || w.group.Len() > 0 && w.group.Len()+len(line) > groupBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.group.Write(line)
	w.group.WriteByte('\n')
	w.inGroup++
	return w.entry(e)
}

func (w *writer) entry(e Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%s: encode it for the index: %w", e.ID, err)
	}
	_, err = w.lines.Write(append(b, '\n'))
	w.index.file.Objects++
	return err
}

// flush ends the group under way.
func (w *writer) flush() error {
	if w.inGroup == 0 {
		return nil
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(w.group.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	f := &w.objects.file
	f.Groups = append(f.Groups, Group{Offset: f.Bytes, Bytes: int64(packed.Len()), SHA256: digest(packed.Bytes()), Objects: w.inGroup})
	f.Objects += w.inGroup
	w.group.Reset()
	w.inGroup = 0
	_, err := w.objects.Write(packed.Bytes())
	return err
}

// close makes the files.
func (w *writer) close() (Files, error) {
	err := w.flush()
	if err == nil {
		err = w.lines.Close()
	}
	if err == nil && w.sealed != nil {
		err = w.sealed.close()
	}
	if err != nil {
		return Files{}, err
	}
	all := []*out{w.objects, w.index}
	if w.sealed != nil {
		all = append(all, w.sealed.out)
	}
	for _, o := range all {
		err = errors.Join(err, o.close())
	}
	f := Files{Objects: w.objects.file, Index: w.index.file}
	if w.sealed != nil {
		f.Secrets = &w.sealed.out.file
	}
	return f, err
}

func isSecret(id ID) bool { return id.APIVersion == "v1" && id.Kind == "Secret" }

// sealed writes the Secrets: a stream of gzip in one of age. Its first line has
// the salt of the sums.
type sealed struct {
	out  *out
	age  io.WriteCloser
	gzip *gzip.Writer
	salt []byte
}

type saltLine struct {
	Salt []byte `json:"salt"`
}

func newSealed(ctx context.Context, s *Store, prefix string, recipients []age.Recipient) (*sealed, error) {
	o, err := s.create(ctx, prefix+fileSecrets)
	if err != nil {
		return nil, err
	}
	x := &sealed{out: o, salt: make([]byte, 32)}
	_, _ = rand.Read(x.salt) // it never fails
	if x.age, err = age.Encrypt(o, recipients...); err != nil {
		o.discard()
		return nil, fmt.Errorf("encrypt the Secrets: %w", err)
	}
	x.gzip = gzip.NewWriter(x.age)
	b, err := json.Marshal(saltLine{x.salt})
	if err == nil {
		_, err = x.gzip.Write(append(b, '\n'))
	}
	if err != nil {
		o.discard()
		return nil, err
	}
	return x, nil
}

// add writes a line, and returns its entry with salted sums.
func (x *sealed) add(e Entry, line []byte) (Entry, error) {
	e.Sealed, e.SHA256, e.Body = true, digest(x.salt, line), ""
	x.out.file.Objects++
	_, err := x.gzip.Write(append(line, '\n'))
	return e, err
}

func (x *sealed) close() error {
	if err := x.gzip.Close(); err != nil {
		return err
	}
	return x.age.Close()
}
