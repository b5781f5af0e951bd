package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/web"
	"github.com/changeover-dev/changeover/render/bridge"
)

// clientsFlags are those of `changeover clients`.
type clientsFlags struct {
	urls            []string
	tokenFile, side string
	out             *outputFlag
}

func (a *app) clientsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clients",
		Short: "Show who still calls which side",
		Long: `Ask bridges who called legacy and modern since they started, the most frequent first. What a client is told by is
the bridge's --clients-by: user-agent, address or header:NAME. A bridge knows 1000 clients of a side; where there are more,
whoever called least made room, and the requests of the others may be a few too many (MAY-BE-OVER).`,
		Example: `  changeover clients --bridge-url http://127.0.0.1:8081 --side legacy`,
		Args:    noArguments,
	}
	var f clientsFlags
	flags := cmd.Flags()
	flags.StringArrayVar(&f.urls, "bridge-url", nil, "admin address of a bridge (required; repeatable: their answers are added up)")
	flags.StringVar(&f.tokenFile, "bridge-token-file", "", "file with the bridges' admin token")
	flags.StringVar(&f.side, "side", "", "legacy or modern (default: both)")
	f.out = addOutput(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = a.does(func(ctx context.Context, _ []string) error { return a.clients(ctx, &f) })
	return cmd
}

// clientRow is one client over all bridges.
type clientRow struct {
	Side      plan.Side `json:"side"`
	Client    string    `json:"client"`
	Requests  int64     `json:"requests"`
	MayBeOver int64     `json:"mayBeOver"`
	Last      time.Time `json:"last"`
}

func (a *app) clients(ctx context.Context, f *clientsFlags) error {
	if len(f.urls) == 0 {
		return usageError("--bridge-url is required: the admin address of a bridge, such as http://127.0.0.1:8081")
	}
	for _, u := range f.urls {
		if err := checkURL("--bridge-url", u); err != nil {
			return err
		}
	}
	if f.side != "" && f.side != string(plan.Legacy) && f.side != string(plan.Modern) {
		return usageError("--side %q: want legacy or modern", f.side)
	}
	token := ""
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return usageError("--bridge-token-file: %w", err)
		}
		token = strings.TrimSpace(string(b))
	}
	var all []bridge.Clients
	for _, u := range f.urls {
		c, err := askClients(ctx, u, token)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	return a.showClients(f.out, all, rowsOf(all, plan.Side(f.side)))
}

// askClients asks one bridge.
func askClients(ctx context.Context, url, token string) (out bridge.Clients, err error) {
	b, err := askBridge(ctx, strings.TrimSuffix(url, "/")+bridge.ClientsPath, token)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("ask the bridge on %s: %w; is it of another version than this command?", url, err)
	}
	return out, nil
}

// askBridge asks the admin address of a bridge.
func askBridge(ctx context.Context, url, token string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the bridge: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the bridge: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the bridge on %s: %w", url, err)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("ask the bridge on %s: it wants its admin token: give --bridge-token-file", url)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask the bridge on %s: %s: %s", url, resp.Status, printable(strings.TrimSpace(string(b))))
	}
	return b, nil
}

// rowsOf adds up what bridges say; side: of that one alone.
func rowsOf(all []bridge.Clients, side plan.Side) []clientRow {
	type whose struct {
		side plan.Side
		name string
	}
	sums := map[whose]*clientRow{}
	for _, c := range all {
		for s, of := range c.Sides {
			for _, client := range of.Clients {
				k := whose{s, client.Name}
				if sums[k] == nil {
					sums[k] = &clientRow{Side: s, Client: client.Name}
				}
				sums[k].Requests += client.Requests
				sums[k].MayBeOver += client.Over
				if client.Last.After(sums[k].Last) {
					sums[k].Last = client.Last
				}
			}
		}
	}
	rows := []clientRow{}
	for k, row := range sums {
		if side == "" || k.side == side {
			rows = append(rows, *row)
		}
	}
	slices.SortFunc(rows, func(a, b clientRow) int {
		if a.Requests != b.Requests {
			return int(b.Requests - a.Requests)
		}
		return strings.Compare(string(a.Side)+a.Client, string(b.Side)+b.Client)
	})
	return rows
}

func (a *app) showClients(out *outputFlag, all []bridge.Clients, rows []clientRow) error {
	if out.structured() {
		return out.write(a.stdout, rows)
	}
	since := all[0].Since
	for _, c := range all {
		if c.Since.After(since) {
			since = c.Since
		}
	}
	if len(rows) == 0 {
		a.note("Nobody called since %s.", since.Format(time.RFC3339))
		return nil
	}
	table := [][]cell{cells("SIDE", "CLIENT", "REQUESTS", "MAY-BE-OVER", "LAST")}
	for _, r := range rows {
		table = append(table, cells(string(r.Side), r.Client, fmt.Sprint(r.Requests), fmt.Sprint(r.MayBeOver), web.Age(r.Last, a.now())))
	}
	a.table(a.stdout, "", table)
	a.note("Plan %s, clients by %s, since %s.", all[0].Plan, all[0].By, since.Format(time.RFC3339))
	return nil
}
