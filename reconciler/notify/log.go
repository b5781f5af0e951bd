package notify

import (
	"context"
	"log/slog"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Log notifies by the log: what a person is paged for stands there as an
// error. The rest is for debugging only, since the daemon logs each decision
// anyway. It is safe for concurrent use.
type Log struct{ log *slog.Logger }

var _ reconciler.Notifier = Log{}

// NewLog writes to log.
func NewLog(log *slog.Logger) Log { return Log{log} }

// Notify implements reconciler.Notifier.
func (l Log) Notify(ctx context.Context, key plan.Key, e reconciler.Entry, page bool) {
	attrs := []slog.Attr{
		slog.String("plan", key.String()), slog.String("verb", string(e.Verb)), slog.String("reason", string(e.Reason)),
		slog.String("from", e.From.String()), slog.String("to", e.To.String()), slog.String("message", e.Message),
	}
	if len(e.Commits) > 0 {
		attrs = append(attrs, slog.Any("commits", e.Commits))
	}
	var gates []any
	for _, g := range e.Evidence {
		gates = append(gates, slog.Any(g.Name, g.Values))
	}
	if len(gates) > 0 {
		attrs = append(attrs, slog.Group("gates", gates...))
	}
	if page {
		l.log.LogAttrs(ctx, slog.LevelError, "page", attrs...)
		return
	}
	l.log.LogAttrs(ctx, slog.LevelDebug, "notice", attrs...)
}
