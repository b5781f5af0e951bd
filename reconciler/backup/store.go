package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"github.com/changeover-dev/changeover/plan"
)

// maxManifest is more than any manifest needs, in bytes.
const maxManifest = 64 << 20

// Store is a bucket with backups. It is safe for use by several goroutines.
type Store struct {
	bucket *blob.Bucket
	dir    string // where the bucket is a folder: what is in it is fsynced
}

// Open opens the bucket of a URL: file:///FOLDER, which is made where it is not
// there, or s3://BUCKET. Its errors never hold credentials.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("open the backups: the URL cannot be read; want file:///FOLDER or s3://BUCKET")
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.Path == "" || u.Path == "/" || u.RawQuery != "" {
			return nil, errors.New("open the backups: want file:///FOLDER, with three slashes and nothing behind the folder")
		}
		dir := filepath.FromSlash(u.Path)
		b, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
		if err != nil {
			return nil, fmt.Errorf("open the backups in folder %q: %w", dir, cause(err))
		}
		return &Store{bucket: b, dir: dir}, nil
	case "s3":
		b, err := openS3(ctx, u)
		if err != nil {
			return nil, err
		}
		return &Store{bucket: b}, nil
	}
	return nil, fmt.Errorf("open the backups: scheme %q is not known; want file:///FOLDER or s3://BUCKET", u.Scheme)
}

// On is a store over a bucket that is open.
func On(b *blob.Bucket) *Store { return &Store{bucket: b} }

// Close ends the use of the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// cause drops what gocloud.dev writes around an error.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func folder(key plan.Key) string { return key.Namespace + "/" + key.Name + "/" }

// at is the key of a file of a backup.
func at(key plan.Key, name, file string) string { return folder(key) + name + "/" + file }

// read gets a small file whole; ok is false where it is not there.
func (s *Store) read(ctx context.Context, at string) (b []byte, ok bool, err error) {
	r, err := s.bucket.NewReader(ctx, at, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", at, cause(err))
	}
	defer func() { _ = r.Close() }()
	if b, err = io.ReadAll(io.LimitReader(r, maxManifest+1)); err != nil {
		return nil, false, fmt.Errorf("read %s: %w", at, cause(err))
	}
	if len(b) > maxManifest {
		return nil, false, fmt.Errorf("read %s: it is larger than %d bytes", at, maxManifest)
	}
	return b, true, nil
}

// write puts a small file there, whole or not at all, and durably.
func (s *Store) write(ctx context.Context, at string, b []byte) error {
	if err := s.bucket.WriteAll(ctx, at, b, nil); err != nil {
		return fmt.Errorf("write %s: %w", at, cause(err))
	}
	return s.sync(at)
}

// sync has a file survive a loss of power.
func (s *Store) sync(at string) error {
	if s.dir == "" {
		return nil // the service's affair
	}
	path := filepath.Join(s.dir, filepath.FromSlash(at))
	for range strings.Count(at, "/") + 2 { // the file, and every folder that may be new
		f, err := os.Open(path)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", at, cause(err))
		}
		path = filepath.Dir(path)
	}
	return nil
}

// Stored is a backup as it is found, or what is left of one.
type Stored struct {
	Manifest
	// Err says why it is none that can be used; nil: it is one.
	Err error
	// Modified is when its newest file was written, where Err is set.
	Modified time.Time
	// Restored is how it was restored by a backward move; nil: it was not.
	Restored *Restored
}

// ErrUnfinished says that there is no manifest: the backup was not finished, or
// is being made.
var ErrUnfinished = errors.New("it has no " + fileManifest + ": it was not finished, or is being made now")

// Load reads one backup of a plan.
func (s *Store) Load(ctx context.Context, key plan.Key, name string) (Manifest, error) {
	b, ok, err := s.read(ctx, at(key, name, fileManifest))
	if err != nil {
		return Manifest{}, err
	}
	if !ok {
		return Manifest{}, fmt.Errorf("load backup %s: %w", name, ErrUnfinished)
	}
	m, err := readManifest(b)
	if err == nil && (m.Plan != key || m.Name != name) {
		err = fmt.Errorf("%s is that of backup %s of plan %s", fileManifest, m.Name, m.Plan)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("load backup %s: %w", name, err)
	}
	return m, nil
}

// List finds the backups of a plan, oldest first, and what is left of those that
// were not finished.
func (s *Store) List(ctx context.Context, key plan.Key) ([]Stored, error) {
	names, err := s.folders(ctx, folder(key))
	if err != nil {
		return nil, err
	}
	var out []Stored
	for _, name := range names {
		m, err := s.Load(ctx, key, name)
		b := Stored{Manifest: m, Err: err}
		if err != nil {
			b.Name, b.Plan = name, key
			if b.Modified, err = s.modified(ctx, folder(key)+name+"/"); err != nil {
				return nil, err
			}
			b.Begun = b.Modified
		} else if b.Restored, err = s.restored(ctx, key, name); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(a, b Stored) int { return a.Begun.Compare(b.Begun) })
	return out, nil
}

// Plans lists the plans that have a folder.
func (s *Store) Plans(ctx context.Context) ([]plan.Key, error) {
	namespaces, err := s.folders(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []plan.Key
	for _, ns := range namespaces {
		names, err := s.folders(ctx, ns+"/")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			out = append(out, plan.Key{Namespace: ns, Name: name})
		}
	}
	return out, nil
}

func (s *Store) folders(ctx context.Context, prefix string) ([]string, error) {
	var out []string
	it := s.bucket.List(&blob.ListOptions{Prefix: prefix, Delimiter: "/"})
	for {
		o, err := it.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("list the backups: %w", cause(err))
		case o.IsDir:
			out = append(out, strings.TrimSuffix(strings.TrimPrefix(o.Key, prefix), "/"))
		}
	}
}

// modified is when the newest file below a prefix was written.
func (s *Store) modified(ctx context.Context, prefix string) (newest time.Time, err error) {
	err = s.each(ctx, prefix, func(o *blob.ListObject) error {
		if o.ModTime.After(newest) {
			newest = o.ModTime
		}
		return nil
	})
	return newest, err
}

func (s *Store) each(ctx context.Context, prefix string, do func(*blob.ListObject) error) error {
	it := s.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = do(o)
		}
		if err != nil {
			return fmt.Errorf("list the backups: %w", cause(err))
		}
	}
}

// Delete removes a backup: its manifest first, so that what is left of it is
// none.
func (s *Store) Delete(ctx context.Context, key plan.Key, name string) error {
	manifest := at(key, name, fileManifest)
	all := []string{manifest}
	err := s.each(ctx, folder(key)+name+"/", func(o *blob.ListObject) error {
		if o.Key != manifest {
			all = append(all, o.Key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range all {
		if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("delete %s: %w", key, cause(err))
		}
	}
	if s.dir != "" {
		// A folder is no part of the bucket, and would be found empty.
		_ = os.Remove(filepath.Join(s.dir, filepath.FromSlash(folder(key)), name))
	}
	return nil
}

func trimSlashes(s string) string { return strings.Trim(s, "/") }
