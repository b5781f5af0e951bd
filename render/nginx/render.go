package nginx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// Files are the three include files of one plan at one stop. Upstreams and
// Maps belong into the http block, Locations into the server block.
type Files struct {
	Upstreams []byte
	Maps      []byte
	Locations []byte
	// Hash names the directives of all three: 32 hex digits. The version
	// location answers with it.
	Hash string
}

// Refusal says that nginx cannot do what the plan asks for.
type Refusal struct {
	// Rule is the index of the route in its phase; -1 where Path is set.
	Rule int
	// Path is the field of the plan, such as spec.identity.
	Path string
	Err  error
}

func (r *Refusal) Error() string {
	if r.Path != "" {
		return r.Path + ": " + r.Err.Error()
	}
	return fmt.Sprintf("routes[%d]: %v", r.Rule, r.Err)
}

func (r *Refusal) Unwrap() error { return r.Err }

func refuse(path, format string, args ...any) error {
	return &Refusal{Rule: -1, Path: path, Err: fmt.Errorf(format, args...)}
}

// refusalOf blames the first rule that is meant.
func refusalOf(rules []render.Rule, meant func(render.Rule) bool, err error) error {
	for i, r := range rules {
		if meant(r) {
			return &Refusal{Rule: i, Err: err}
		}
	}
	return err
}

// VersionPath is where an nginx with the plan's files answers with the hash
// of the config and the worker's process id, to callers on its own machine.
func VersionPath(p *plan.Plan) string { return internalPrefix + p.Metadata.Name + "/version" }

const internalPrefix = "/_changeover/"

// placeholder stands where the hash goes while the hash is taken. No text of
// a plan can hold it, as NUL is refused.
const placeholder = "\x00hash\x00"

// Render writes one stop of a plan as nginx config. It fails where the stop
// is not on the itinerary, and with a Refusal where nginx cannot do what the
// plan asks for. Only a backend that some rule can reach is written, so that a
// rollback to legacy loads even where modern's host does not resolve any more.
func Render(p *plan.Plan, stop plan.Position) (Files, error) {
	rules, err := render.Resolve(p, stop)
	if err != nil {
		return Files{}, fmt.Errorf("render nginx config: %w", err)
	}
	f, err := renderRules(p, rules)
	if err != nil {
		return Files{}, fmt.Errorf("render nginx config of plan %q at %s: %w", p.Metadata.Name, stop, err)
	}
	return f, nil
}

func renderRules(p *plan.Plan, rules []render.Rule) (Files, error) {
	if err := checkName(p.Metadata.Name); err != nil {
		return Files{}, err
	}
	c := &config{plan: p, names: namesOf(p), rules: leaveToBridge(p, rules), texts: texts{names: namesOf(p)}}
	if err := c.reachable(); err != nil {
		return Files{}, err
	}
	f := Files{Upstreams: c.upstreams()}
	var err error
	if f.Locations, err = c.locations(); err != nil {
		return Files{}, err
	}
	// The maps come last, as they hold the texts that the locations use.
	if f.Maps, err = c.maps(); err != nil {
		return Files{}, err
	}
	h := sha256.New()
	for _, b := range [][]byte{f.Upstreams, f.Maps, f.Locations} {
		fmt.Fprintf(h, "%d\n", len(b))
		h.Write(b)
	}
	f.Hash = hex.EncodeToString(h.Sum(nil)[:16])
	f.Locations = bytes.ReplaceAll(f.Locations, []byte(placeholder), []byte(f.Hash))
	return f, nil
}

// checkName refuses names that could not stand in a path and a file name.
func checkName(name string) error {
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	})
	if name == "" || bad || len(name) > 253 || strings.Trim(name, "-.") != name {
		return refuse("metadata.name", "%q cannot name files and locations: use letters, digits, dashes and dots", name)
	}
	return nil
}

// config is what one render works on.
type config struct {
	plan     *plan.Plan
	names    names
	rules    []render.Rule
	texts    texts
	backends []backend // those that are reachable, legacy first
	splits   []plan.Percent
}

// reachable finds out which backends and splits the rules use.
func (c *config) reachable() error {
	used := make(map[plan.Side]bool)
	seen := make(map[plan.Percent]bool)
	if c.plan.Spec.Gateway.Bridged() && c.plan.Spec.Entities.Routed() {
		used[toBridge] = true
	}
	for i, r := range c.rules {
		if r.Owner {
			return fmt.Errorf("routes[%d]: nginx knows no owners of entities", i)
		}
		for _, err := range []error{checkMirror(r), checkRewrite(i, r)} {
			var refusal *Refusal
			if errors.As(err, &refusal) {
				return err
			}
			if err != nil {
				return fmt.Errorf("routes[%d]: %w", i, err)
			}
		}
		if c.mirrors(r) {
			used[plan.Modern] = true
		}
		switch share := c.sideOf(r); {
		case r.Respond != nil:
		case share != "":
			used[share] = true
		default:
			used[plan.Legacy], used[plan.Modern] = true, true
			if !hundredths(r.Percent) {
				return &Refusal{Rule: i, Err: fmt.Errorf("percent %v: nginx splits by hundredths of a percent, give at most two decimals", r.Percent)}
			}
			if !seen[r.Percent] && oneSide(r.Percent) == "" {
				seen[r.Percent] = true
				c.splits = append(c.splits, r.Percent)
			}
		}
	}
	for _, side := range []plan.Side{plan.Legacy, plan.Modern, toBridge} {
		if !used[side] {
			continue
		}
		path, url := "spec.backends."+string(side)+".url", c.plan.Spec.Backends.Of(side).URL
		if side == toBridge {
			path, url = "spec.gateway.nginx.bridge", c.plan.Spec.Gateway.NGINX.Bridge
		}
		b, err := parseBackend(side, url)
		if err != nil {
			return refuse(path, "%w", err)
		}
		c.backends = append(c.backends, b)
	}
	return nil
}

// sideOf is the one side to which a rule sends requests, "" where it may be
// either or none.
func (c *config) sideOf(r render.Rule) plan.Side {
	switch {
	case !r.Split:
		return r.Side
	case c.plan.Spec.Override != nil:
		return "" // who may choose gets the other side of 0 and of 100 % as well
	}
	return oneSide(r.Percent)
}

// oneSide is where a split with that share sends everybody, "" where it splits.
// nginx knows neither 0% nor a whole 100%.
func oneSide(p plan.Percent) plan.Side {
	switch {
	case p <= 0:
		return plan.Legacy
	case p >= 100:
		return plan.Modern
	}
	return ""
}

func hundredths(p plan.Percent) bool {
	_, decimals, _ := strings.Cut(p.String(), ".")
	return len(decimals) <= 2
}
