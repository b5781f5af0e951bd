package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Bounds of a stream of events.
const (
	beatEvery   = 5 * time.Second  // the page takes the daemon for lost after three
	newsEvery   = time.Second      // no more often than that, of one plan
	listEvery   = 2 * time.Second  // and of all
	writeWithin = 10 * time.Second // who reads more slowly is sent away
	streamFor   = 10 * time.Minute // then the browser connects again by itself
)

// events tells a page when to look again. What it should show is not in the
// stream: the page is drawn in one place alone.
func (p *page) events(w http.ResponseWriter, r *http.Request) {
	key, least := plan.Key{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}, newsEvery
	if key == (plan.Key{}) {
		least = listEvery
	}
	c, ok := p.Feed.Join(key)
	if !ok {
		w.Header().Set("Retry-After", "15")
		plainText(w, http.StatusServiceUnavailable, "as many pages watch as may; this one looks again by itself every few seconds")
		return
	}
	defer c.Leave()
	w.Header().Set("Content-Type", "text/event-stream")
	s := &stream{w: w, rc: http.NewResponseController(w)}
	// The deadline of the server is for the request, which was read.
	if s.rc.SetReadDeadline(time.Time{}) != nil || !s.send("beat") {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	end := time.NewTimer(streamFor)
	defer end.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-p.Feed.Closed():
			return
		case <-end.C:
			return
		case <-beat.C:
			ok = s.send("beat")
		case <-c.News():
			ok = s.send("news") && pause(r, least)
		}
		if !ok {
			return
		}
	}
}

// pause waits, and reports whether the request is still there.
func pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-t.C:
		return true
	}
}

type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// send reports whether the client took it.
func (s *stream) send(what string) bool {
	if s.rc.SetWriteDeadline(time.Now().Add(writeWithin)) != nil {
		return false
	}
	if _, err := fmt.Fprintf(s.w, "retry: 2000\ndata: %s\n\n", what); err != nil {
		return false
	}
	return s.rc.Flush() == nil
}
