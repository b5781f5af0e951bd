package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// ContentDigest names everything that the plan says but its position and
// suspend. Formatting, comments and spelled-out defaults do not count.
func ContentDigest(p *Plan) Digest {
	c := *p
	c.Spec.Position, c.Spec.Suspend = Position{}, false
	return digest(c)
}

// LiveDigest names the part of the content that changes what is applied:
// backends, gateway, identity, override, translations, the account, entities, flags (but their kill switches, which count at
// once), and the names, percents, routes, transforms, flags and cluster config of the phases. What the phases' kustomizations read is not in
// it: see Version.Reading.
func LiveDigest(p *Plan) Digest { return digest(live(p)) }

// live is a copy of the plan with only the fields that change what is applied.
func live(p *Plan) Plan {
	c := Plan{APIVersion: p.APIVersion, Kind: p.Kind, Metadata: p.Metadata}
	c.Spec.Backends, c.Spec.Gateway, c.Spec.Identity = p.Spec.Backends, p.Spec.Gateway, p.Spec.Identity
	c.Spec.Override, c.Spec.Translations = p.Spec.Override, p.Spec.Translations
	c.Spec.ServiceAccountName, c.Spec.Entities = p.Spec.ServiceAccountName, p.Spec.Entities
	c.Spec.Flags = slices.Clone(p.Spec.Flags)
	for i := range c.Spec.Flags {
		c.Spec.Flags[i].KillSwitch = false
	}
	for _, ph := range p.Spec.Phases {
		l := Phase{Name: ph.Name, Percents: ph.Percents, Routes: ph.Routes, Transforms: ph.Transforms, Entities: ph.Entities, Flags: ph.Flags}
		if ph.Cluster != nil {
			l.Cluster = &Cluster{Path: ph.Cluster.Path, Prune: ph.Cluster.Prune, MaxPrune: ph.Cluster.MaxPrune}
		}
		c.Spec.Phases = append(c.Spec.Phases, l)
	}
	return c
}

// digest hashes the JSON of a plan, which is canonical: fields are in the
// order of the types, map keys are sorted.
func digest(p Plan) Digest {
	b, err := json.Marshal(p)
	if err != nil {
		// A decoded plan always encodes. One that was built in code can
		// hold a NaN; it gets a digest of its own.
		b = fmt.Appendf(nil, "%+v", p)
	}
	sum := sha256.Sum256(b)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}
