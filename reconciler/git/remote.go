package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// maxRemoteText bounds what is kept of a remote's own words.
const maxRemoteText = 2048

// remote speaks the smart protocol with the repository's host. It uses
// go-git's sessions and not its Remote: a push by Remote first walks every
// object of the whole history, and its transports are global.
type remote struct {
	ep                    transport.Endpoint
	client                transport.Transport
	auth                  Auth
	ref                   plumbing.ReferenceName // of the watched branch
	timeout, cloneTimeout time.Duration
	// opening holds a token for each session that is being opened: a host
	// that takes connections and says nothing must not collect them.
	opening chan struct{}
}

// maxOpening is how many sessions may be in opening at once.
const maxOpening = 4

func newRemote(o Options) (*remote, error) {
	ep, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	client, err := newTransport(ep.Protocol, o)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	return &remote{
		ep: *ep, client: client, auth: o.Auth,
		ref: plumbing.NewBranchReferenceName(o.Branch), timeout: o.Timeout, cloneTimeout: o.CloneTimeout,
		opening: make(chan struct{}, maxOpening),
	}, nil
}

// session opens a session, and gives up when the context ends: opening one has
// no context of its own.
func session[S io.Closer](ctx context.Context, r *remote, open func(*transport.Endpoint, transport.AuthMethod) (S, error)) (s S, secret string, err error) {
	auth, secret, err := r.auth.credentials(&r.ep, r.timeout)
	if err != nil {
		return s, secret, &authError{err}
	}
	if err := acquire(ctx, r.opening); err != nil {
		return s, secret, err
	}
	type opened struct {
		s   S
		err error
	}
	ch := make(chan opened, 1)
	go func() {
		ep := r.ep // a session may change it
		s, err := open(&ep, auth)
		<-r.opening
		ch <- opened{s, err}
	}()
	select {
	case o := <-ch:
		return o.s, secret, o.err
	case <-ctx.Done():
		go func() {
			if o := <-ch; o.err == nil {
				_ = o.s.Close()
			}
		}()
		return s, secret, ctx.Err()
	}
}

// wanted says what a fetch needs.
type wanted struct {
	ref plumbing.ReferenceName
	// shallow: the head with all its files, and without its history.
	shallow bool
	// known reports whether an object is there already.
	known func(plumbing.Hash) bool
	// haves are commits that are there with all that they reach.
	haves func() []plumbing.Hash
	// receive takes the objects, as a pack: all or nothing.
	receive func(pack io.Reader) error
}

// fetch asks for a branch's head, and where it is not known gets it with all
// that is not reached from the haves. head is set as soon as the remote told
// it, also where getting the objects failed.
func (r *remote) fetch(ctx context.Context, w wanted) (head plumbing.Hash, err error) {
	asking, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	s, secret, err := session(asking, r, r.client.NewUploadPackSession)
	if err != nil {
		return head, classify("read branch", err, secret)
	}
	defer s.Close()
	refs, err := s.AdvertisedReferencesContext(asking)
	if err != nil {
		return head, classify("read branch", err, secret)
	}
	head, ok := refs.References[w.ref.String()]
	if !ok {
		return head, &noBranchError{w.ref.Short()}
	}
	if w.known(head) {
		return head, nil
	}
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	if refs.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	req.Wants, req.Haves = []plumbing.Hash{head}, w.haves()
	if w.shallow && refs.Capabilities.Supports(capability.Shallow) {
		_ = req.Capabilities.Set(capability.Shallow)
		req.Depth = packp.DepthCommits(1)
	}
	getting, cancel2 := context.WithTimeout(ctx, r.cloneTimeout)
	defer cancel2()
	res, err := s.UploadPack(getting, req)
	if err != nil {
		return head, classify("fetch", err, secret)
	}
	defer func() { _ = res.Close() }()
	if err := w.receive(demux(req.Capabilities, res)); err != nil {
		if getting.Err() != nil {
			err = getting.Err()
		}
		return head, classify("fetch", err, secret)
	}
	return head, nil
}

func demux(caps *capability.List, r io.Reader) io.Reader {
	switch {
	case caps.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// checkPush opens a session for pushing, reads the remote's refs and closes it
// again, as `git push --dry-run` does: hosts check here that the credentials
// may push at all.
func (r *remote) checkPush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	s, secret, err := session(ctx, r, r.client.NewReceivePackSession)
	if err != nil {
		return classify("check push", err, secret)
	}
	defer s.Close()
	if _, err := s.AdvertisedReferencesContext(ctx); err != nil {
		return classify("check push", err, secret)
	}
	return nil
}

// update moves one ref from old to new; a zero old means that it must not
// exist.
type update struct {
	ref      plumbing.ReferenceName
	old, new plumbing.Hash
}

// push sends a pack and asks to move the ref. The remote itself compares old
// with the ref once more when it moves it.
func (r *remote) push(ctx context.Context, u update, pack []byte) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	s, secret, err := session(ctx, r, r.client.NewReceivePackSession)
	if err != nil {
		return classify("push", err, secret)
	}
	defer s.Close()
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return classify("push", err, secret)
	}
	if now := refs.References[u.ref.String()]; now != u.old {
		return raced(u.ref, now)
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	var said bytes.Buffer
	if refs.Capabilities.Supports(capability.Sideband64k) {
		_ = req.Capabilities.Set(capability.Sideband64k)
		req.Progress = &boundedWriter{w: &said, left: maxRemoteText}
	}
	req.Commands = []*packp.Command{{Name: u.ref, Old: u.old, New: u.new}}
	req.Packfile = io.NopCloser(bytes.NewReader(pack))
	report, err := s.ReceivePack(ctx, req)
	switch {
	case err != nil && ctx.Err() != nil:
		err = ctx.Err() // the client for http hides it
	case err == nil && report == nil && req.Capabilities.Supports(capability.ReportStatus):
		err = errors.New("the remote ended before it said what became of the push")
	}
	if err != nil {
		if text := oneLine(said.String()); text != "" && !isContext(err) {
			err = fmt.Errorf("%w (the remote says: %s)", err, text)
		}
		return classify("push", err, secret)
	}
	return nil
}

// readRef reads one ref of the remote; zero where it does not exist.
func (r *remote) readRef(ctx context.Context, ref plumbing.ReferenceName) (plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	s, secret, err := session(ctx, r, r.client.NewUploadPackSession)
	if err != nil {
		return plumbing.ZeroHash, classify("read branch", err, secret)
	}
	defer s.Close()
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return plumbing.ZeroHash, classify("read branch", err, secret)
	}
	return refs.References[ref.String()], nil
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// boundedWriter keeps the first bytes and swallows the rest.
type boundedWriter struct {
	w    io.Writer
	left int
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	_, err := b.w.Write(p[:n])
	return len(p), err
}
