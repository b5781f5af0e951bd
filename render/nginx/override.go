package nginx

import (
	"github.com/changeover-dev/changeover/plan"
)

// writeOverride writes who chose which side, and for each share of a split the
// side that follows. $remote_addr is the caller: where nginx stands behind other
// proxies, its real_ip says who that is.
func (c *config) writeOverride(w *writer) error {
	o := c.plan.Spec.Override
	if o == nil || c.plan.Spec.Gateway.Bridged() {
		return nil // or the bridge has all that can be chosen
	}
	if err := checkVariableName("header", o.Header); err != nil {
		return refuse("spec.override.header", "%w", err)
	}
	networks, err := o.Networks()
	if err != nil {
		return refuse("spec.override.from", "%w", err)
	}
	w.comment("Who may choose a side, and does.")
	w.open("geo %s", c.names.variable("from"))
	w.directive("default", "0")
	for _, n := range networks {
		w.directive(n.String(), "1")
	}
	w.close()
	w.open("map %s %s", quote(c.names.variable("from")+":"+variableOf(o.Header)), c.names.variable("force"))
	for _, side := range []plan.Side{plan.Legacy, plan.Modern} {
		w.directive(quote(`~\A1:`+blanks+string(side)+blanks+`\z`), string(side))
	}
	w.directive("default", `""`)
	w.close()
	seen := make(map[plan.Percent]bool)
	for _, r := range c.rules {
		if !r.Split || seen[r.Percent] {
			continue
		}
		seen[r.Percent] = true
		otherwise := string(oneSide(r.Percent))
		if otherwise == "" {
			otherwise = c.names.split(r.Percent)
		}
		w.open("map %s %s", c.names.variable("force"), c.names.chosen(r.Percent))
		w.directive(`""`, otherwise)
		w.directive("default", c.names.variable("force"))
		w.close()
	}
	return nil
}
