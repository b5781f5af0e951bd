package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/shadowreport"
	"github.com/changeover-dev/changeover/render/bridge"
)

// formatHTML is a page.
const formatHTML = "html"

// shadowFlags are those of `changeover shadow report`.
type shadowFlags struct {
	urls      []string
	tokenFile string
	out       *outputFlag
}

func (a *app) shadowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "shadow", Short: "See how modern's answers compare with legacy's", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	report := &cobra.Command{
		Use:   "report [PLAN]",
		Short: "Report what mirror.compare has found, by endpoint",
		Long: `Ask bridges what comparing modern's answers to copies with legacy's has come to since they started, or since the
comparison was changed, and add it up. MATCH is the share of the comparisons that matched or whose differences are
excused, by rules or as noise. COVERAGE is the share of the eligible requests that were compared; what is pending,
errored, not comparable or dropped is not. Values are never shown: -o json and html have types, lengths and hashes.

It ends with 1 where there are mismatches.`,
		Example: `  changeover shadow report --bridge-url http://127.0.0.1:8081
  changeover shadow report onap-so --bridge-url http://127.0.0.1:8081 -o html > report.html`,
		Args: cobra.MaximumNArgs(1),
	}
	var f shadowFlags
	flags := report.Flags()
	flags.StringArrayVar(&f.urls, "bridge-url", nil, "admin address of a bridge (required; repeatable: their answers are added up)")
	flags.StringVar(&f.tokenFile, "bridge-token-file", "", "file with the bridges' admin token")
	f.out = addOutput(report, formatTable, formatJSON, formatYAML, formatHTML)
	report.RunE = a.does(func(ctx context.Context, args []string) error { return a.shadowReport(ctx, &f, args) })
	cmd.AddCommand(report)
	return cmd
}

func (a *app) shadowReport(ctx context.Context, f *shadowFlags, args []string) error {
	if len(f.urls) == 0 {
		return usageError("--bridge-url is required: the admin address of a bridge, such as http://127.0.0.1:8081")
	}
	token := ""
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return usageError("--bridge-token-file: %w", err)
		}
		token = strings.TrimSpace(string(b))
	}
	var all []bridge.Shadow
	for _, u := range f.urls {
		if err := checkURL("--bridge-url", u); err != nil {
			return err
		}
		var s bridge.Shadow
		b, err := askBridge(ctx, strings.TrimSuffix(u, "/")+bridge.ShadowPath, token)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("ask the bridge on %s: %w; is it of another version than this command?", u, err)
		}
		switch {
		case len(args) > 0 && args[0] != s.Plan.Name && args[0] != s.Plan.String():
			return usageError("the bridge on %s serves plan %s, not %s", u, s.Plan, args[0])
		case len(all) > 0 && all[0].Plan != s.Plan:
			return usageError("the bridges serve different plans, %s and %s: ask them one after the other", all[0].Plan, s.Plan)
		}
		all = append(all, s)
	}
	report := shadowreport.Join(all, a.now())
	if err := a.showShadow(f.out, &report); err != nil {
		return err
	}
	if report.Total.Mismatched > 0 {
		return errFindings
	}
	return nil
}

func (a *app) showShadow(out *outputFlag, r *shadowreport.Report) error {
	switch {
	case out.structured():
		return out.write(a.stdout, r)
	case out.value == formatHTML:
		return r.HTML(a.stdout)
	case len(r.Endpoints) == 0:
		a.note("Plan %s: nothing was compared yet.", r.Plan)
		return nil
	}
	rows := [][]cell{cells("ENDPOINT", "MATCH", "COVERAGE", "MATCHED", "MISMATCHED", "IGNORED", "PENDING", "ERRORED", "NOT-COMPARABLE", "DROPPED", "MODERN-LEGACY")}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		rows = append(rows, append(cells(printable(e.Method+" "+e.Path), shadowreport.Share(e.MatchRate), shadowreport.Share(e.Coverage)), append(countCells(e.Counts), cells(shadowreport.Signed(e.Latency))...)...))
	}
	a.table(a.stdout, "", rows)
	if rows = fieldRows(r); len(rows) > 1 {
		a.printf("\n")
		a.table(a.stdout, "", rows)
	}
	if len(r.Rules) > 0 {
		rows = [][]cell{cells("RULE", "OWNER", "EXPIRES", "HITS")}
		for _, ru := range r.Rules {
			expires := string(ru.Expires)
			if ru.Expired {
				expires += " (expired)"
			}
			rows = append(rows, cells(printable(ru.Path), printable(orDash(ru.Owner)), orDash(expires), fmt.Sprint(ru.Hits)))
		}
		a.printf("\n")
		a.table(a.stdout, "", rows)
	}
	a.note("Plan %s, %s: match rate %s, coverage %s of %d eligible requests.", r.Plan, count(r.Bridges, "bridge"), shadowreport.Share(r.Total.MatchRate), shadowreport.Share(r.Total.Coverage), r.Total.Eligible)
	if len(r.Hashes) > 1 {
		a.note("The bridges serve different configs: some have not followed yet.")
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func countCells(c shadowreport.Counts) (out []cell) {
	for _, n := range []int64{c.Matched, c.Mismatched, c.Ignored, c.Pending, c.Errored, c.NotComparable, c.Dropped} {
		out = append(out, cell{text: fmt.Sprint(n)})
	}
	if c.Mismatched > 0 {
		out[1].colour = red
	}
	return out
}

// maxFieldRows of an endpoint are in the table; -o json has all.
const maxFieldRows = 10

func fieldRows(r *shadowreport.Report) [][]cell {
	rows := [][]cell{cells("ENDPOINT", "FIELD", "DIFFERED", "EXCUSED", "KINDS", "NOTE")}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		for _, f := range e.Fields[:min(len(e.Fields), maxFieldRows)] {
			note := "-"
			switch {
			case f.Noise:
				note = "noise"
			case f.Pending:
				note = "pending"
			}
			kinds := strings.Join(slices.Sorted(maps.Keys(f.Kinds)), ",")
			rows = append(rows, cells(printable(e.Method+" "+e.Path), printable(f.Path), fmt.Sprint(f.Differed), fmt.Sprint(f.Excused), orDash(printable(kinds)), note))
		}
	}
	return rows
}
