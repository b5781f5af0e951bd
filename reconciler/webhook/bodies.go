package webhook

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Bounds of bodies, in bytes. A host that is told 413 or 429 shows it to its
// people, and the branch is read at the next interval all the same.
const (
	// MaxBody of a delivery.
	MaxBody = 1 << 20

	memory    = 16 << 20 // for all bodies that are being read
	piece     = 16 << 10 // for the first of one, as most are no longer
	perSecond = 32 << 20 // read and hashed of those that did not show the secret before

	bodyTime = 10 * time.Second
)

// errLimited is for a body that is too much beside the others.
var errLimited = errors.New("too much is delivered at the same time")

// bodies bounds what is read at the same time. Memory is claimed as a body
// comes, and not by its length: who sends little holds little.
type bodies struct {
	memory   *semaphore.Weighted
	unproven *rate.Limiter
}

// read takes a body. Whether the secret was shown before it is said by proven.
// The memory is free for others when done is called, which it must be.
func (b *bodies) read(r io.Reader, proven bool) (body []byte, done func(), err error) {
	held := 0
	done = func() { b.memory.Release(int64(held)) }
	for {
		if len(body) == cap(body) {
			size := min(max(piece, 4*cap(body)), MaxBody+1) // with the place in which its end is seen
			if !b.memory.TryAcquire(int64(size - held)) {
				return nil, done, errLimited
			}
			held = size
			body = append(make([]byte, 0, size), body...)
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case !proven && !b.unproven.AllowN(time.Now(), n):
			return nil, done, errLimited
		case errors.Is(err, io.EOF):
			return body, done, nil
		case err != nil:
			return nil, done, err
		}
	}
}
