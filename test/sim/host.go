package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"github.com/go-git/go-git/v5/storage/memory"
)

const (
	planFile = "shop.yaml"
	mainRef  = plumbing.ReferenceName("refs/heads/main")
)

// host is a Git host: a repository that speaks the smart protocol in memory.
type host struct {
	st     *memory.Storage
	now    func() time.Time
	before plumbing.Hash // the head before the last one, which a stale replica tells
}

// Load implements server.Loader.
func (h *host) Load(*transport.Endpoint) (storer.Storer, error) { return h.st, nil }

func (h *host) head() plumbing.Hash {
	ref, err := h.st.Reference(mainRef)
	if err != nil {
		return plumbing.ZeroHash
	}
	return ref.Hash()
}

// commit adds one on the branch: these texts are its whole tree.
func (h *host) commit(files map[string]string, message string) plumbing.Hash {
	tree := &object.Tree{}
	for _, name := range []string{"README.md", planFile} {
		o := h.st.NewEncodedObject()
		o.SetType(plumbing.BlobObject)
		w, err := o.Writer()
		if err == nil {
			_, err = io.WriteString(w, files[name])
		}
		must(err)
		hash, err := h.st.SetEncodedObject(o)
		must(err)
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: hash})
	}
	o := h.st.NewEncodedObject()
	must(tree.Encode(o))
	root, err := h.st.SetEncodedObject(o)
	must(err)
	who := object.Signature{Name: "Dana", Email: "dana@example.com", When: h.now()}
	c := &object.Commit{Author: who, Committer: who, Message: message + "\n", TreeHash: root}
	h.before = h.head()
	if !h.before.IsZero() {
		c.ParentHashes = []plumbing.Hash{h.before}
	}
	o = h.st.NewEncodedObject()
	must(c.Encode(o))
	hash, err := h.st.SetEncodedObject(o)
	must(err)
	must(h.st.SetReference(plumbing.NewHashReference(mainRef, hash)))
	return hash
}

// files are the texts at a commit.
func (h *host) files(at plumbing.Hash) map[string]string {
	out := map[string]string{}
	c, err := object.GetCommit(h.st, at)
	must(err)
	iter, err := c.Files()
	must(err)
	must(iter.ForEach(func(f *object.File) error {
		text, err := f.Contents()
		out[f.Name] = text
		return err
	}))
	return out
}

// logged is a commit of the branch.
type logged struct {
	hash               plumbing.Hash
	daemon             bool
	subject            string
	rollbackOf, unhold string
}

// log lists the first-parent commits, newest first.
func (h *host) log(from plumbing.Hash) (out []logged) {
	for at := from; !at.IsZero(); {
		c, err := object.GetCommit(h.st, at)
		must(err)
		l := logged{hash: at, daemon: c.Author.Name == daemonName}
		l.subject, _, _ = strings.Cut(c.Message, "\n")
		for line := range strings.SplitSeq(c.Message, "\n") {
			if v, ok := strings.CutPrefix(line, "Changeover-Rollback-Of: "); ok {
				l.rollbackOf = v
			}
			if v, ok := strings.CutPrefix(line, "Changeover-Unhold: "); ok {
				l.unhold = v
			}
		}
		out = append(out, l)
		at = plumbing.ZeroHash
		if len(c.ParentHashes) > 0 {
			at = c.ParentHashes[0]
		}
	}
	return out
}

// link is how a daemon reaches the host.
type link struct {
	inner transport.Transport
	d     *daemon
}

func newLink(d *daemon) *link { return &link{server.NewServer(d.w.host), d} }

var errUnreachable = errors.New("dial tcp: connection refused")

// NewUploadPackSession implements transport.Transport.
func (l *link) NewUploadPackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.UploadPackSession, error) {
	if l.d.dead || l.d.w.down[partGit] {
		return nil, errUnreachable
	}
	s, err := l.inner.NewUploadPackSession(ep, auth)
	return &reading{s, l.d}, err
}

// NewReceivePackSession implements transport.Transport.
func (l *link) NewReceivePackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.ReceivePackSession, error) {
	if l.d.dead || l.d.w.down[partGit] {
		return nil, errUnreachable
	}
	s, err := l.inner.NewReceivePackSession(ep, auth)
	return &writing{s, l.d}, err
}

// reading is a fetch.
type reading struct {
	transport.UploadPackSession
	d *daemon
}

// AdvertisedReferencesContext implements transport.UploadPackSession.
func (s *reading) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	refs, err := s.UploadPackSession.AdvertisedReferencesContext(ctx)
	if err != nil {
		return refs, err
	}
	if h := s.d.w.host; s.d.w.staleGit > 0 && !h.before.IsZero() {
		s.d.w.staleGit--
		refs.References[mainRef.String()] = h.before
	}
	s.d.read = refs.References[mainRef.String()]
	return refs, nil
}

// UploadPack implements transport.UploadPackSession. What the host does not have it
// does not mind, as hosts do.
func (s *reading) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	var haves []plumbing.Hash
	for _, h := range req.Haves {
		if s.d.w.host.st.HasEncodedObject(h) == nil {
			haves = append(haves, h)
		}
	}
	req.Haves = haves
	return s.UploadPackSession.UploadPack(ctx, req)
}

// writing is a push.
type writing struct {
	transport.ReceivePackSession
	d *daemon
}

// ReceivePack implements transport.ReceivePackSession, with the comparison of the
// old head that the server of go-git leaves out.
func (s *writing) ReceivePack(ctx context.Context, req *packp.ReferenceUpdateRequest) (report *packp.ReportStatus, err error) {
	err = s.d.effect("push", func() error {
		h := s.d.w.host
		for _, c := range req.Commands {
			if c.Name == mainRef && c.Old != h.head() {
				return fmt.Errorf("command error on %s: failed to update ref", mainRef)
			}
		}
		h.before = h.head()
		report, err = s.ReceivePackSession.ReceivePack(ctx, req)
		return err
	})
	return report, err
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
