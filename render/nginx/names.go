package nginx

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// maxIdent keeps every variable below 47 characters: nginx refuses to load a
// longer one with its default variables_hash_bucket_size.
const maxIdent = 20

// ident is the plan's name as a part of variables and upstreams, where nginx
// allows letters, digits and underscores. A name that does not survive that
// as it is, but for its dashes, gets a short hash, so that two stay apart.
func ident(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	if len(clean) <= maxIdent && clean == strings.ReplaceAll(name, "-", "_") && !strings.Contains(name, "_") {
		return clean
	}
	sum := sha256.Sum256([]byte(name))
	if len(clean) > maxIdent-7 {
		clean = clean[:maxIdent-7]
	}
	return clean + "_" + hex.EncodeToString(sum[:3])
}

// names are those that one plan uses in nginx.
type names string

func namesOf(p *plan.Plan) names { return names("changeover_" + ident(p.Metadata.Name)) }

func (n names) upstream(s plan.Side) string { return string(n) + "_" + string(s) }

// variable is a variable of the plan, with its dollar sign.
func (n names) variable(suffix string) string { return "$" + string(n) + "_" + suffix }

// split is the variable of the split with that share.
func (n names) split(p plan.Percent) string { return n.share("split_", p) }

// chosen is the variable of the split with that share, where some callers choose.
func (n names) chosen(p plan.Percent) string { return n.share("chosen_", p) }

// draw is the variable of the draw of copies with that share.
func (n names) draw(p plan.Percent) string { return n.share("mirror_", p) }

func (n names) share(kind string, p plan.Percent) string {
	return n.variable(kind + strings.ReplaceAll(p.String(), ".", "_"))
}
