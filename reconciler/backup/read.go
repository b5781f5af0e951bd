package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// maxLine is more than any object of an API server has, in bytes.
const maxLine = 16 << 20

// found is one object of a backup, as it was read.
type found struct {
	Entry
	// object is nil where it is damaged, or sealed and there is no identity.
	object map[string]any
	line   []byte
	// damage says what is wrong; empty: nothing.
	damage string
}

// reading goes through a backup.
type reading struct {
	store      *Store
	m          *Manifest
	identities []age.Identity
	do         func(found) error
	// faults of whole files; those of objects are told one by one.
	faults []string

	index *entries // nil where the index cannot be read
}

// walk reads all objects of a backup, in their order, and tells of each that
// should be there: what it is, or what is wrong with it. It returns what is
// wrong with whole files. The error is that of do, or of a store that cannot be
// read now.
func (s *Store) walk(ctx context.Context, m *Manifest, identities []age.Identity, do func(found) error) ([]string, error) {
	r := &reading{store: s, m: m, identities: identities, do: do}
	if err := r.openIndex(ctx); err != nil {
		return nil, err
	}
	err := r.objects(ctx)
	if err == nil && m.Files.Secrets != nil {
		err = r.secrets(ctx)
	}
	if r.index != nil {
		r.index.close()
	}
	return r.faults, err
}

// intact compares a file with what the manifest says of it, and says what is
// wrong.
func (r *reading) intact(ctx context.Context, file string, want File) (string, error) {
	in, err := r.open(ctx, file, 0, -1)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return file + " is not there", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", file, cause(err))
	}
	defer func() { _ = in.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, in)
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", file, cause(err))
	case n != want.Bytes:
		return fmt.Sprintf("%s is damaged: it has %d bytes, not %d", file, n, want.Bytes), nil
	case hex.EncodeToString(sum.Sum(nil)) != want.SHA256:
		return file + " is damaged: it is not what was written", nil
	}
	return "", nil
}

func (r *reading) open(ctx context.Context, file string, offset, length int64) (*blob.Reader, error) {
	return r.store.bucket.NewRangeReader(ctx, at(r.m.Plan, r.m.Name, file), offset, length, nil)
}

func (r *reading) openIndex(ctx context.Context) error {
	fault, err := r.intact(ctx, fileIndex, r.m.Files.Index)
	if err != nil {
		return err
	}
	if fault != "" {
		r.faults = append(r.faults, fault)
		return nil
	}
	in, err := r.open(ctx, fileIndex, 0, -1)
	if err != nil {
		return fmt.Errorf("read %s: %w", fileIndex, cause(err))
	}
	r.index, err = newEntries(in)
	return err
}

// objects reads the groups of the plain objects.
func (r *reading) objects(ctx context.Context) error {
	f := r.m.Files.Objects
	for i, g := range f.Groups {
		lines, damage, err := r.group(ctx, g)
		if err != nil {
			return err
		}
		for n := range g.Objects {
			var line []byte
			if damage == "" {
				line = lines[n]
			}
			if err := r.one(line, nil, damage, fmt.Sprintf("object %d of group %d in %s", n+1, i+1, fileObjects)); err != nil {
				return err
			}
		}
	}
	return nil
}

// group reads one, and says what is wrong with it.
func (r *reading) group(ctx context.Context, g Group) (lines [][]byte, damage string, err error) {
	in, err := r.open(ctx, fileObjects, g.Offset, g.Bytes)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fileObjects + " is not there", nil
	}
	var packed []byte
	if err == nil {
		packed, err = io.ReadAll(io.LimitReader(in, g.Bytes+1))
		_ = in.Close()
	}
	switch {
	case err != nil && r.short(ctx, g):
		return nil, fileObjects + " ends before it", nil
	case err != nil:
		return nil, "", fmt.Errorf("read %s: %w", fileObjects, cause(err))
	case int64(len(packed)) < g.Bytes:
		return nil, fileObjects + " ends before it", nil
	case digest(packed) != g.SHA256:
		return nil, fmt.Sprintf("the %d bytes of %s from byte %d, which have it and others, are not what was written", g.Bytes, fileObjects, g.Offset), nil
	}
	if lines = unpacked(packed); len(lines) != g.Objects {
		return nil, "it was written wrongly", nil
	}
	return lines, "", nil
}

// unpacked are the lines of a member; none where it cannot be read.
func unpacked(packed []byte) [][]byte {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(plain, []byte("\n")), []byte("\n"))
}

// short reports whether the file ends within a group: not all drivers tell.
func (r *reading) short(ctx context.Context, g Group) bool {
	a, err := r.store.bucket.Attributes(ctx, at(r.m.Plan, r.m.Name, fileObjects))
	return err == nil && a.Size < g.Offset+g.Bytes
}

// one tells of an object by its line and its entry in the index, whichever there
// are. The place names one without either.
func (r *reading) one(line, salt []byte, damage, place string) error {
	f := found{line: line, damage: damage}
	if r.index != nil {
		var err error
		if f.Entry, err = r.index.next(); err != nil {
			return fmt.Errorf("read %s: %w", fileIndex, err)
		}
	}
	if line != nil {
		f.object, f.damage = r.check(line, salt, &f)
	}
	if f.Name == "" {
		f.ID = ID{Kind: place}
	}
	return r.do(f)
}

// check reads a line and compares it with its entry; without an index the sums
// of groups have proven it, and it gives the entry.
func (r *reading) check(line, salt []byte, f *found) (map[string]any, string) {
	o, err := decode(line)
	if err != nil {
		return nil, err.Error()
	}
	if r.index != nil && digest(salt, line) != f.SHA256 {
		return nil, "it is not what was written"
	}
	id := idOf(o)
	if r.index == nil {
		_, s, err := encode(o)
		if err != nil {
			return nil, err.Error()
		}
		f.Entry = Entry{ID: id, SHA256: s.whole, Body: s.body}
	}
	if id != f.ID {
		return nil, "the index has another object in its place"
	}
	return o, ""
}

// secrets reads the sealed file.
func (r *reading) secrets(ctx context.Context) error {
	f := *r.m.Files.Secrets
	fault, err := r.intact(ctx, fileSecrets, f)
	if err != nil {
		return err
	}
	tell := func(damage string, from int) error {
		for n := from; n < f.Objects; n++ {
			if err := r.one(nil, nil, damage, fmt.Sprintf("object %d in %s", n+1, fileSecrets)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(r.identities) == 0 || fault != "" && f.Objects == 0 {
		return tell(fault, 0)
	}
	in, err := r.open(ctx, fileSecrets, 0, -1)
	if err != nil {
		if fault != "" {
			return tell(fault, 0)
		}
		return fmt.Errorf("read %s: %w", fileSecrets, cause(err))
	}
	defer func() { _ = in.Close() }()
	n, why, err := r.unseal(in)
	if err != nil {
		return err
	}
	if why != "" && fault != "" {
		why = fault
	}
	return tell(why, n)
}

// sealed begins to read the Secrets, or says why they cannot be read.
func (r *reading) sealed(in io.Reader) (lines *bufio.Scanner, salt saltLine, why string) {
	plain, err := age.Decrypt(in, r.identities...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, salt, "it is encrypted for others: no identity that was given is that of a recipient"
	case err != nil:
		return nil, salt, fileSecrets + " is damaged: it cannot be decrypted"
	}
	z, err := gzip.NewReader(plain)
	if err != nil {
		return nil, salt, fileSecrets + " is damaged: it cannot be decrypted"
	}
	lines = scanner(z)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &salt) != nil {
		return nil, salt, fileSecrets + " is damaged: it has no salt"
	}
	return lines, salt, ""
}

// unseal tells of the Secrets that can be read, and says how many, and why no
// more.
func (r *reading) unseal(in io.Reader) (n int, why string, err error) {
	lines, salt, why := r.sealed(in)
	if why != "" {
		return 0, why, nil
	}
	for lines.Scan() && n < r.m.Files.Secrets.Objects {
		if err := r.one(bytes.Clone(lines.Bytes()), salt.Salt, "", fmt.Sprintf("object %d in %s", n+1, fileSecrets)); err != nil {
			return n, "", err
		}
		n++
	}
	return n, fileSecrets + " is damaged: it cannot be decrypted from here on", nil
}

func scanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	return s
}

// entries of an index, one after the other.
type entries struct {
	in    io.ReadCloser
	lines *bufio.Scanner
}

func newEntries(in io.ReadCloser) (*entries, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", fileIndex, err), in.Close())
	}
	return &entries{in, scanner(z)}, nil
}

func (e *entries) next() (Entry, error) {
	if !e.lines.Scan() {
		return Entry{}, errors.Join(errors.New("it has fewer objects than the files"), e.lines.Err())
	}
	var x Entry
	err := json.Unmarshal(e.lines.Bytes(), &x)
	return x, err
}

func (e *entries) close() { _ = e.in.Close() }
