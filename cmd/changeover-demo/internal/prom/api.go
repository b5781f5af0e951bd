package prom

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// api is Prometheus' own /api/v1, without what needs rules, alerts, remote
// write and the admin switch.
func (s *Server) api(u url.URL) *v1.API {
	return v1.NewAPI(s.engine, s.db, nil, nil, s.db,
		func(context.Context) v1.ScrapePoolsRetriever { return s.scraper },
		func(context.Context) v1.TargetRetriever { return s.scraper },
		func(context.Context) v1.AlertmanagerRetriever { return none{} },
		func() config.Config { return *s.cfg },
		map[string]string{},
		v1.GlobalURLOptions{ListenAddress: u.Host, Host: u.Host, Scheme: u.Scheme},
		func(h http.HandlerFunc) http.HandlerFunc { return h },
		admin{s.db}, s.opts.Dir, false, s.opts.Logger,
		func(context.Context) v1.RulesRetriever { return none{} },
		1_000_000, 1, 1<<20, false, nil,
		s.runtimeInfo, &v1.PrometheusVersion{GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		s.reg, s.reg, nil, false, nil, false, false, false, false,
		5*time.Minute, false, false, nil, nil,
		v1.OpenAPIOptions{ExternalURL: u.String()},
		parser.NewParser(parser.Options{}),
	)
}

func (s *Server) runtimeInfo() (v1.RuntimeInfo, error) {
	host, err := os.Hostname()
	return v1.RuntimeInfo{
		StartTime: s.started, ServerTime: time.Now(), LastConfigTime: s.started,
		ReloadConfigSuccess: true, Hostname: host,
		GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
	}, err
}

// none answers for the parts that this Prometheus does not have.
type none struct{}

func (none) Alertmanagers() []*url.URL            { return nil }
func (none) DroppedAlertmanagers() []*url.URL     { return nil }
func (none) RuleGroups() []*rules.Group           { return nil }
func (none) AlertingRules() []*rules.AlertingRule { return nil }

// admin gives the database the form that the API's status pages want.
type admin struct{ *tsdb.DB }

func (a admin) Stats(label string, limit int) (*tsdb.Stats, error) {
	return a.Head().Stats(label, limit), nil
}
func (a admin) BlockMetas() ([]tsdb.BlockMeta, error) { return a.DB.BlockMetas(), nil }
func (a admin) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	return tsdb.WALReplayStatus{}, nil
}
