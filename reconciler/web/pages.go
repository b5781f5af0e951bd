package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// frame is what every page has.
type frame struct {
	Title, Version string
	Now            time.Time
	Events         string // where news is told; empty: nowhere
}

type indexData struct {
	frame
	NotReady string
	Several  bool
	Total    int
	Groups   []group
}

// group are the plans that need a person as much.
type group struct {
	ID, Title, Says string
	Plans           []row
}

type row struct {
	reconciler.Status
	Mini   mini
	Age    string
	Reason decide.Reason
	Why    string
}

// groups in the order of the list.
var groups = [...]group{
	needsPerson: {ID: "need", Title: "Need a person", Says: "need a person"},
	underWay:    {ID: "move", Title: "Under way or waiting", Says: "under way or waiting"},
	calm:        {ID: "calm", Title: "Steady or complete", Says: "steady or complete"},
}

func (p *page) index(w http.ResponseWriter, r *http.Request) {
	now := p.Now()
	all := groups
	d := indexData{frame: frame{"Plans", p.Version, now, "/events"}, Several: p.Several}
	if err := p.Plans.Ready(); err != nil {
		d.NotReady = err.Error()
	}
	for _, s := range p.Plans.Statuses() {
		d.Total++
		reason, why := Why(s)
		in := &all[needOf(s)]
		in.Plans = append(in.Plans, row{Status: s, Mini: miniOf(s), Age: Age(s.Since, now), Reason: reason, Why: cut(why, 240)})
	}
	for _, g := range all {
		if len(g.Plans) > 0 {
			d.Groups = append(d.Groups, g)
		}
	}
	if n := len(all[needsPerson].Plans); n > 0 {
		d.Title = fmt.Sprintf("%d of %d plans need a person", n, d.Total)
	}
	p.render(w, r, http.StatusOK, "index.html", d)
}

// cut shortens a text to n runes.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-4]) + " ..."
	}
	return s
}

type oneData struct {
	frame
	S      reconciler.Status
	Doing  string
	Reason decide.Reason
	Why    string
	Waits  []wait
	Told   bool // why it holds is among what it waits for
	Age    string
	Advice []string
	Stops  []phaseOnLine
	Split  *splitView
	Gates  []gateView
	Work   []workView
	// History, newest first.
	History      []event
	HistoryError string
}

// In is how long it is until t.
func (d oneData) In(t time.Time) string { return Span(t.Sub(d.Now)) }

func (p *page) one(w http.ResponseWriter, r *http.Request) {
	key := plan.Key{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	now := p.Now()
	s, ok := p.Plans.Status(key)
	if !ok {
		p.render(w, r, http.StatusNotFound, "missing.html", struct {
			frame
			Key plan.Key
		}{frame{"No such plan", p.Version, now, ""}, key})
		return
	}
	d := oneData{
		frame: frame{fmt.Sprintf("%s: %s", key, s.State), p.Version, now, "/events/" + key.Namespace + "/" + key.Name}, S: s,
		Doing: Doing(s), Waits: waits(s), Age: Age(s.Since, now), Advice: Advice(s), Stops: line(s), Split: splitOf(s),
		Gates: gatesOf(s, p.Feed.Trace(key), now), Work: workOf(s.Work),
	}
	d.Reason, d.Why = Why(s)
	d.Told = foremost(d.Waits, d.Reason)
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	entries, err := p.Plans.History(ctx, key, historyOnPage)
	if err != nil {
		// The rest of the page is what matters in an incident.
		d.HistoryError = err.Error()
	}
	d.History = timeline(s.Changes, entries)
	d.History = d.History[:min(len(d.History), historyOnPage)]
	p.render(w, r, http.StatusOK, "plan.html", d)
}

// workView is one kind of long work.
type workView struct {
	reconciler.Progress
	Title, Text string
}

// workTitles of the kinds of work.
var workTitles = map[string]string{"backup": "Backup", "transforms": "Transforms", "entities": "Entities change their owner"}

func workOf(all []reconciler.Progress) []workView {
	var out []workView
	for _, p := range all {
		v := workView{Progress: p, Title: p.Name, Text: p.Message}
		if t := workTitles[p.Name]; t != "" {
			v.Title = t
		}
		if p.Total > 0 {
			v.Text = fmt.Sprintf("%s of %s done", thousands(int64(p.Finished)), thousands(int64(p.Total)))
			if p.Rate > 0 && !p.Done {
				left := time.Duration(float64(max(0, p.Total-p.Finished)) / p.Rate * float64(time.Second))
				v.Text += fmt.Sprintf(", %s a second, about %s left", short(p.Rate), Span(left))
			}
			if p.Message != "" {
				v.Text += ": " + p.Message
			}
			v.Text += "."
		}
		out = append(out, v)
	}
	return slices.Clip(out)
}
