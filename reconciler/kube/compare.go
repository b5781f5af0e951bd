package kube

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// digest names a value by its canonical JSON.
type digest [sha256.Size]byte

func digestOf(v any) digest {
	// Decoded JSON can always be encoded again.
	b, _ := json.Marshal(v)
	return sha256.Sum256(b)
}

// differs is the path of the first field of want that live does not have as it
// is wanted; empty where there is none. What live has beyond does not count.
// The path holds no value.
func differs(want, live any) string { return walk("", want, live) }

func walk(path string, want, live any) string {
	switch w := want.(type) {
	case nil:
		return ""
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok && live != nil {
			return orAll(path)
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if at := walk(join(path, k), w[k], l[k]); at != "" {
				return at
			}
		}
		return ""
	case []any:
		l, ok := live.([]any)
		if !ok {
			if live == nil && len(w) == 0 {
				return ""
			}
			return orAll(path)
		}
		for i, j := range match(w, l) {
			if j < 0 {
				return orAll(path)
			}
			if at := walk(fmt.Sprintf("%s[%d]", path, i), w[i], l[j]); at != "" {
				return at
			}
		}
		return ""
	}
	if sameScalar(want, live) || sameQuantity(path, want, live) {
		return ""
	}
	return orAll(path)
}

// sameQuantity reports whether two amounts of a resource are one, which API
// servers write in a form of their own: 0.1 as 100m. Else each start of the
// daemon would take it for drift.
func sameQuantity(path string, want, live any) bool {
	if !strings.Contains(path, "resources.") && !strings.HasPrefix(path, "spec.hard.") && !strings.HasSuffix(path, ".sizeLimit") {
		return false
	}
	a, err := resource.ParseQuantity(fmt.Sprint(want))
	if err != nil {
		return false
	}
	b, err := resource.ParseQuantity(fmt.Sprint(live))
	return err == nil && a.Cmp(b) == 0
}

// orAll is a path; the whole thing has one too.
func orAll(path string) string {
	if path == "" {
		return "."
	}
	return path
}

func join(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./"):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// sameScalar compares values. A number may have become text: quantities, and
// ports that can have names.
func sameScalar(want, live any) bool {
	x, ok := float(want)
	if !ok {
		return reflect.DeepEqual(want, live)
	}
	if s, ok := live.(string); ok {
		return s == strconv.FormatFloat(x, 'f', -1, 64)
	}
	y, ok := float(live)
	return ok && x == y
}

func float(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// mergeKeys are the fields by which API servers tell the entries of lists
// apart.
var mergeKeys = []string{"name", "containerPort", "port", "mountPath", "devicePath", "key", "ip", "type", "topologyKey", "uid"}

// match finds for each entry of want that of live which stands for it, or -1.
// Entries that have a merge key are found by it. Others are as their places
// say, in lists of one length.
func match(want, live []any) []int {
	out := make([]int, len(want))
	if key := keyOf(want); key != "" {
		at := make(map[string]int, len(live))
		for j, e := range live {
			if id, ok := identity(e, key); ok {
				at[id] = j
			}
		}
		for i, e := range want {
			id, _ := identity(e, key)
			j, ok := at[id]
			if !ok {
				j = -1
			}
			out[i] = j
		}
		return out
	}
	for i := range want {
		out[i] = i
		if len(want) != len(live) {
			out[i] = -1
		}
	}
	return out
}

// keyOf is the merge key of a list: the first that all its entries have, no two
// the same.
func keyOf(list []any) string {
next:
	for _, key := range mergeKeys {
		seen := make(map[string]bool, len(list))
		for _, e := range list {
			id, ok := identity(e, key)
			if !ok || seen[id] {
				continue next
			}
			seen[id] = true
		}
		if len(list) > 0 {
			return key
		}
	}
	return ""
}

// identity is what an entry has for a merge key. Ports are told apart by their
// protocol as well, which is TCP where it is not said.
func identity(entry any, key string) (string, bool) {
	m, ok := entry.(map[string]any)
	if !ok {
		return "", false
	}
	switch v := m[key].(type) {
	case string, int64, float64:
		protocol, ok := m["protocol"].(string)
		if !ok {
			protocol = "TCP"
		}
		return fmt.Sprint(v, " ", protocol), true
	}
	return "", false
}

// projection is the digest of what live has where want has something. It tells
// whether a live object is as it was when it had been applied, whatever the
// API server made of the manifest.
func projection(want, live any) digest {
	h := sha256.New()
	project(h, want, live)
	return digest(h.Sum(nil))
}

func project(h hash.Hash, want, live any) {
	switch w := want.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			break
		}
		h.Write([]byte("{"))
		for _, k := range slices.Sorted(maps.Keys(w)) {
			fmt.Fprintf(h, "%q:", k)
			project(h, w[k], l[k])
		}
		h.Write([]byte("}"))
		return
	case []any:
		l, ok := live.([]any)
		if !ok || !allMaps(w) {
			break
		}
		h.Write([]byte("["))
		for i, j := range match(w, l) {
			if j < 0 {
				fmt.Fprintf(h, "lacks %d,", i)
				continue
			}
			project(h, w[i], l[j])
			h.Write([]byte(","))
		}
		h.Write([]byte("]"))
		return
	}
	b, _ := json.Marshal(live) // decoded JSON can always be encoded again
	h.Write(b)
	h.Write([]byte(";"))
}

func allMaps(list []any) bool {
	return !slices.ContainsFunc(list, func(e any) bool { _, ok := e.(map[string]any); return !ok })
}

// surplus is the path of the first field that is Changeover's in a live object
// and that want has not: it was wanted once and is yet to be given up. It is
// the whole object where none of it is Changeover's, or of another version.
func surplus(want, live map[string]any) string {
	fields, version := applied(live)
	switch {
	case fields == nil:
		return "metadata.managedFields"
	case version != want["apiVersion"]:
		return "apiVersion"
	}
	return unwanted("", fields, want)
}

// unwanted walks a set of fields: f:NAME is a field, k:{...} the entry of a
// list with these keys, v:VALUE an entry that is this value, and . the thing
// itself.
func unwanted(path string, fields map[string]any, want any) string {
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		kind, rest, ok := strings.Cut(k, ":")
		if !ok {
			continue
		}
		below, _ := fields[k].(map[string]any)
		at, next := path, any(nil)
		found := true
		switch kind {
		case "f":
			at = join(path, rest)
			m, _ := want.(map[string]any)
			next, found = m[rest]
		case "k":
			next, found = entryWith(rest, want)
		case "v":
			found = contains(rest, want)
		}
		if !found {
			return at
		}
		if deeper := unwanted(at, below, next); deeper != "" {
			return deeper
		}
	}
	return ""
}

// entryWith finds the entry of a list that has these keys. One that does not
// say a key has its default.
func entryWith(keys string, want any) (any, bool) {
	var wanted map[string]any
	if json.Unmarshal([]byte(keys), &wanted) != nil {
		return nil, false
	}
	list, _ := want.([]any)
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		same := true
		for k, v := range wanted {
			if have, ok := m[k]; ok && !sameScalar(have, v) {
				same = false
			}
		}
		if same {
			return m, true
		}
	}
	return nil, false
}

func contains(value string, want any) bool {
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		return false
	}
	list, _ := want.([]any)
	return slices.ContainsFunc(list, func(e any) bool { return sameScalar(e, v) })
}
