package git

import (
	"bytes"
	"io"
	"io/fs"
	"time"
)

// fileInfo implements fs.FileInfo.
type fileInfo struct {
	name string
	mode fs.FileMode
	size int64
	at   time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) ModTime() time.Time { return i.at }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }

// dirEntry implements fs.DirEntry; the size is read when it is asked for.
type dirEntry struct {
	t *tree
	p place
}

func (e dirEntry) Name() string               { return e.p.name }
func (e dirEntry) IsDir() bool                { return e.p.isFolder() }
func (e dirEntry) Type() fs.FileMode          { return fileMode(e.p.mode).Type() }
func (e dirEntry) Info() (fs.FileInfo, error) { return e.t.info(e.p, e.p.name) }
func (e dirEntry) String() string             { return fs.FormatDirEntry(e) }

// opened is what files and folders that are open have in common.
type opened struct {
	info   fs.FileInfo
	name   string
	closed bool
}

func (o *opened) Stat() (fs.FileInfo, error) {
	if o.closed {
		return nil, pathError("stat", o.name, fs.ErrClosed)
	}
	return o.info, nil
}

func (o *opened) Close() error {
	if o.closed {
		return pathError("close", o.name, fs.ErrClosed)
	}
	o.closed = true
	return nil
}

// openFile implements fs.File. The content is read with the first Read.
type openFile struct {
	opened
	t *tree
	p place
	r *bytes.Reader
}

func (f *openFile) Read(b []byte) (int, error) {
	if f.closed {
		return 0, pathError("read", f.name, fs.ErrClosed)
	}
	if f.r == nil {
		content, err := f.t.content(f.p)
		if err != nil {
			return 0, pathError("read", f.name, err)
		}
		f.r = bytes.NewReader(content)
	}
	return f.r.Read(b)
}

// openFolder implements fs.ReadDirFile. It is listed with the first ReadDir.
type openFolder struct {
	opened
	t      *tree
	p      place
	left   []fs.DirEntry
	listed bool
}

func (f *openFolder) Read([]byte) (int, error) {
	return 0, pathError("read", f.name, fs.ErrInvalid)
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if f.closed {
		return nil, pathError("readdir", f.name, fs.ErrClosed)
	}
	if !f.listed {
		left, err := f.t.list(f.p)
		if err != nil {
			return nil, pathError("readdir", f.name, err)
		}
		f.left, f.listed = left, true
	}
	if n <= 0 {
		n = len(f.left)
	} else if len(f.left) == 0 {
		return nil, io.EOF
	}
	out := f.left[:min(n, len(f.left))]
	f.left = f.left[len(out):]
	return out, nil
}
