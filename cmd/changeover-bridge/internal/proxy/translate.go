package proxy

import (
	"net/http"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/translation"
	"github.com/changeover-dev/changeover/render/bridge"
)

// translate makes the request to modern, and reports whether it is to be sent: one
// that cannot be translated is answered here.
func (h *Handler) translate(w http.ResponseWriter, r *http.Request, e *exchange) bool {
	translated, problem := translation.Begin(w, r, e.translation)
	if problem == nil {
		e.translated = translated
		return true
	}
	e.code = problem.Status
	e.side.failures.WithLabelValues(reasonTranslate).Inc()
	e.side.logged.Do(func() {
		h.log.Warn("request not translated", "translation", e.translation.Name(), "method", r.Method, "path", r.URL.Path, "error", problem.Text)
	})
	w.Header().Set(bridge.HeaderSide, string(e.side.side))
	if r.ProtoMajor == 1 && problem.Status != http.StatusBadRequest {
		w.Header().Set("Connection", "close") // the rest of the body is not waited for
	}
	refuse(w, problem.Status, problem.Text)
	return false
}
