package proxy

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/translation"
)

// namingBody is how much of a request's body is read for the id of an entity, in
// bytes.
const namingBody = 1 << 20

// named looks for the entity that a request names, and notes a write to it. It
// answers, and returns false, where the request is not to go on. See births.write.
func (h *Handler) named(w http.ResponseWriter, r **http.Request, s *serving) (end func(e *exchange), ok bool) {
	if !h.inBody(w, r, s.table) {
		return nil, false
	}
	end, ok = s.births.write(w, r, s.table)
	if !ok {
		h.metrics.lookups.WithLabelValues("blocked").Inc()
	}
	return end, ok
}

// inBody finds the entity that a request names in its body, which stays whole. It
// answers, and returns false, where the body cannot be read for it: a request whose
// entity is not known may belong to either side.
func (h *Handler) inBody(w http.ResponseWriter, r **http.Request, t *route.Table) bool {
	fields := t.InBody(*r)
	if fields == nil || (*r).Body == nil || (*r).Body == http.NoBody {
		return true
	}
	id, body, p := readID(w, *r, fields)
	if p != nil {
		h.metrics.lookups.WithLabelValues("unreadable").Inc()
		if (*r).ProtoMajor == 1 && body == nil {
			w.Header().Set("Connection", "close") // the rest of the body is not waited for
		}
		refuse(w, p.Status, p.Text)
		return false
	}
	(*r).Body = &replayed{bytes.NewReader(body), (*r).Body}
	if id != "" {
		*r = route.Naming(*r, id)
	}
	return true
}

func readID(w http.ResponseWriter, r *http.Request, fields []string) (id string, body []byte, p *translation.Problem) {
	if translation.Encoded(r.Header) {
		return "", nil, &translation.Problem{Status: http.StatusUnsupportedMediaType, Text: "the body may name an entity: send it without Content-Encoding"}
	}
	tooLarge := &translation.Problem{
		Status: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("the body may name an entity, and is larger than the %d bytes that are read for it", namingBody),
	}
	if body, p = translation.ReadBody(w, r, namingBody, tooLarge); p != nil {
		return "", nil, p
	}
	id, err := route.IDIn(body, fields)
	if err != nil {
		return "", body, &translation.Problem{Status: http.StatusBadRequest, Text: "the body may name an entity, and " + err.Error()}
	}
	return id, body, nil
}
