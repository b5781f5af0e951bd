package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of a backup's lists.
const (
	maxBackupKinds      = 50
	maxBackupRecipients = 20
)

// backup checks what a phase saves.
func (v *validator) backup(at string, ph *Phase) {
	if ph.Rollback.Restore && ph.Backup == nil && !v.has(at+".backup") {
		v.at(at+".rollback.restore", "backup", "restore is asked for, but the phase makes no backup", "say what is saved: backup: {include: [{apiVersion: v1, kind: ConfigMap, namespace: shop}]}")
	}
	b := ph.Backup
	if b == nil {
		return
	}
	at += ".backup"
	v.bounded(at+".include", "kinds in one backup", len(b.Include), maxBackupKinds)
	v.bounded(at+".recipients", "recipients of one backup", len(b.Recipients), maxBackupRecipients)
	for i, k := range b.Include[:min(len(b.Include), maxBackupKinds)] {
		v.backupKind(fmt.Sprintf("%s.include[%d]", at, i), k, b, b.Include[:i])
	}
	for i, r := range b.Recipients[:min(len(b.Recipients), maxBackupRecipients)] {
		v.recipient(fmt.Sprintf("%s.recipients[%d]", at, i), r, b.Recipients[:i])
	}
	v.backupSecrets(at, b)
	// The default stands in place of a 0 already.
	if n := v.d.nodes[at+".retention"].value; n != nil {
		if d, err := ParseDuration(n.Value); err == nil && d == 0 {
			v.at(at+".retention", "backup", "the retention is 0", fmt.Sprintf("leave it out for %s; the newest backup is always kept", DefaultRetention))
		}
	}
}

func (v *validator) backupSecrets(at string, b *Backup) {
	if !v.whole(at) {
		return
	}
	secrets := slices.ContainsFunc(b.Include, BackupKind.Secret)
	const want = "give the public keys of those who may read them: recipients: [age1...]; age-keygen makes one"
	switch {
	case b.IncludeSecrets && !secrets:
		v.at(at+".includeSecrets", "backup", "includeSecrets is true, but no Secrets are in the list", "add {apiVersion: v1, kind: Secret, namespace: shop} to include, or remove includeSecrets")
	case b.IncludeSecrets && len(b.Recipients) == 0:
		v.at(at+".includeSecrets", "backup", "Secrets are only saved encrypted, and there are no recipients", want)
	case !b.IncludeSecrets && len(b.Recipients) > 0:
		v.at(at+".recipients", "backup", "recipients are given, but only Secrets are encrypted, and includeSecrets is not true", "remove recipients, or add includeSecrets: true and the Secrets")
	}
}

func (v *validator) backupKind(at string, k BackupKind, b *Backup, before []BackupKind) {
	v.groupVersion(at+".apiVersion", "backup", k.APIVersion)
	switch {
	case k.Kind == "":
	case !apiKind.MatchString(k.Kind):
		v.at(at+".kind", "backup", fmt.Sprintf("%s is not a kind", shorten(k.Kind)), "write it as in manifests: Deployment")
	case strings.HasSuffix(k.Kind, "List"):
		v.at(at+".kind", "backup", fmt.Sprintf("%s is a list of objects, and no kind of them", shorten(k.Kind)), "write "+strings.TrimSuffix(k.Kind, "List"))
	case k.Secret() && !b.IncludeSecrets:
		v.at(at+".kind", "backup", "Secrets are only saved where the plan says so, and only encrypted", "add includeSecrets: true and recipients: [age1...], or leave Secrets out")
	}
	if v.has(at + ".namespace") {
		v.label(at+".namespace", "a namespace", k.Namespace)
	}
	if v.has(at+".selector") && !isSelector(k.Selector) {
		v.at(at+".selector", "backup", fmt.Sprintf("%s selects no labels", shorten(k.Selector)), "write KEY=VALUE, KEY!=VALUE, KEY or !KEY, with , between them: app=shop,tier!=cache")
	}
	if i := slices.IndexFunc(before, func(o BackupKind) bool { return o.covers(k) || k.covers(o) }); i >= 0 && v.whole(at) {
		v.at(at, "backup", fmt.Sprintf("entry %d of the list selects the same objects, or some of them", i+1), "remove one of the two, so that each object is saved once")
	}
}

// groupVersion checks an apiVersion, as manifests have it.
func (v *validator) groupVersion(at, code, s string) {
	group, version, grouped := strings.Cut(s, "/")
	if !grouped {
		group, version = "", s
	}
	if s != "" && (grouped && !isSubdomain(group) || !apiVersion.MatchString(version)) {
		v.at(at, code, fmt.Sprintf("%s is not an apiVersion", shorten(s)), "write it as in manifests: v1, or GROUP/VERSION such as apps/v1")
	}
}

// isSelector reports whether a text selects labels by equality or presence. The
// words `in` and `notin` of kubectl are not among them.
func isSelector(s string) bool {
	for part := range strings.SplitSeq(s, ",") {
		key, value, valued := strings.Cut(part, "!=")
		if !valued {
			key, value, valued = strings.Cut(strings.Replace(part, "==", "=", 1), "=")
		}
		if !valued {
			key = strings.TrimPrefix(key, "!")
		}
		prefix, name, prefixed := strings.Cut(key, "/")
		if !prefixed {
			name = prefix
		}
		if prefixed && !isSubdomain(prefix) || !labelValue.MatchString(name) || value != "" && !labelValue.MatchString(value) {
			return false
		}
	}
	return s != ""
}

func (v *validator) recipient(at, r string, before []string) {
	if err := checkRecipient(r); err != nil && r != "" {
		v.secret(at, "recipient", err.Error(), "give the public key that age-keygen prints, age1 and 58 characters")
		return
	}
	if slices.Contains(before, r) {
		v.at(at, "recipient", "this recipient is already in the list", "remove one of the two")
	}
}
