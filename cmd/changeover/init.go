package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/scaffold"
	"github.com/changeover-dev/changeover/plan"
)

// initFlags say what serves the traffic today, and what shall.
type initFlags struct {
	from, location, service string
	legacy, modern, gateway string
	modernPort              int
	output                  string
}

func (a *app) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init NAME",
		Short: "Write a first plan, from what serves the traffic today",
		Long: `Write a plan in three phases (setup, gradual 10/25/50/100 %, sunset) that validates, as a start.

--from reads what serves the traffic today: an HTTPRoute or an Ingress (YAML or JSON, as kubectl prints it), or a
config of nginx; "-" is standard input. What it sends requests to becomes legacy. Without --from give --legacy. --modern
is a URL, or the name of a Service for a plan of the Gateway API. Nothing is guessed: where there are several backends
or locations, --service or --location says which is meant.

The plan is printed, or written to a new file with --output, with a first test of it beside it (shop_test.yaml for
shop.yaml; see changeover test). A file that is there is never replaced.

Exit codes: 0 written, 1 what was read makes no plan, or the file is there, 2 wrong use, 3 it could not be written.`,
		Example: `  changeover init shop --legacy http://127.0.0.1:8080 --modern http://127.0.0.1:8000 --output shop.yaml
  kubectl get httproute shop -o yaml | changeover init shop --from - --modern shop-v2 --modern-port 80
  changeover init shop --from /etc/nginx/sites-enabled/shop --location / --modern http://127.0.0.1:8000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("one NAME for the plan is wanted, not %d arguments", len(args))
			}
			return nil
		},
	}
	var f initFlags
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "file with an HTTPRoute, an Ingress or a config of nginx; - is standard input")
	flags.StringVar(&f.location, "location", "", "the location of nginx that is meant, where several have a proxy_pass")
	flags.StringVar(&f.service, "service", "", "the Service that is legacy, where the HTTPRoute or Ingress names several")
	flags.StringVar(&f.legacy, "legacy", "", "URL of legacy, without --from")
	flags.StringVar(&f.modern, "modern", "", "URL of modern, or the name of its Service for a plan of the Gateway API (required)")
	flags.IntVar(&f.modernPort, "modern-port", 80, "port of the Service of modern")
	flags.StringVar(&f.gateway, "gateway", "bridge", "nginx or bridge, without --from")
	flags.StringVarP(&f.output, "output", "o", "", "new file to write to, with a test beside it (default: standard output)")
	cmd.RunE = a.does(func(_ context.Context, args []string) error {
		today, err := a.today(f)
		if err != nil {
			return err
		}
		modern, err := f.backend(today)
		if err != nil {
			return err
		}
		text, err := today.Plan(args[0], modern)
		if err != nil {
			return finding("%w", err)
		}
		return a.writePlan(f.output, args[0], text, today)
	})
	return cmd
}

// writePlan prints a plan, or writes it to a file and a first test beside it.
func (a *app) writePlan(file, name, text string, today scaffold.Today) error {
	if file == "" {
		a.printf("%s", text)
		return nil
	}
	tests, err := today.Tests(name, filepath.Base(file))
	if err != nil {
		return err
	}
	if err := a.writeNew(file, text); err != nil {
		return err
	}
	a.note("wrote %s; see `changeover validate %s`", file, file)
	beside := strings.TrimSuffix(file, filepath.Ext(file)) + "_test.yaml"
	if err := a.writeNew(beside, tests); err != nil {
		return err
	}
	a.note("wrote %s; see `changeover test %s`", beside, beside)
	return nil
}

// maxScaffold bounds what --from reads, in bytes.
const maxScaffold = 1 << 20

func (a *app) today(f initFlags) (scaffold.Today, error) {
	if f.from == "" {
		t := scaffold.Today{Legacy: plan.Backend{URL: f.legacy}}
		switch {
		case f.legacy == "":
			return t, usageError("give --from FILE, or --legacy URL")
		case f.gateway == "bridge":
			t.Gateway.Bridge = &plan.BridgeGateway{}
		case f.gateway == "nginx":
			t.Gateway.NGINX = &plan.NGINXGateway{}
		default:
			return t, usageError("--gateway %q: want nginx or bridge; for the Gateway API give its HTTPRoute by --from", f.gateway)
		}
		return t, nil
	}
	if f.legacy != "" {
		return scaffold.Today{}, usageError("--from tells what legacy is: leave --legacy out")
	}
	src, err := a.readBounded(f.from)
	if err != nil {
		return scaffold.Today{}, err
	}
	var t scaffold.Today
	// An object of Kubernetes has its kind on a line of its own, or is JSON.
	if strings.Contains(src, "apiVersion") && strings.Contains(src, "kind") {
		t, err = scaffold.FromObject([]byte(src), f.service)
	} else {
		t, err = scaffold.FromNGINX(src, f.location)
	}
	if err != nil {
		return t, finding("read %s: %w", f.from, err)
	}
	return t, nil
}

func (a *app) readBounded(file string) (string, error) {
	in := a.stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer func() { _ = opened.Close() }() // it was read only
		in = opened
	}
	b, err := io.ReadAll(io.LimitReader(in, maxScaffold+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", file, err)
	case len(b) > maxScaffold:
		return "", finding("read %s: it has more than %d bytes", file, maxScaffold)
	}
	return string(b), nil
}

func (f initFlags) backend(t scaffold.Today) (plan.Backend, error) {
	url := strings.Contains(f.modern, "://")
	switch {
	case f.modern == "":
		return plan.Backend{}, usageError("give --modern: the URL of modern, or for a plan of the Gateway API the name of its Service")
	case t.Gateway.GatewayAPI != nil && url:
		return plan.Backend{}, usageError("--modern %q: the Gateway API routes to a Service: give its name, and --modern-port", f.modern)
	case t.Gateway.GatewayAPI == nil && !url:
		return plan.Backend{}, usageError("--modern %q: give a URL, such as http://127.0.0.1:8000", f.modern)
	case url:
		return plan.Backend{URL: f.modern}, nil
	}
	return plan.Backend{Service: &plan.Service{Name: f.modern, Port: f.modernPort}}, nil
}

// writeNew writes a text to a file that is not there yet.
func (a *app) writeNew(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return finding("%s is there already, and is not replaced", file)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file)) // nothing half-written stays
	}
	return nil
}
