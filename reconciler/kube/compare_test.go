package kube

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// decoded reads YAML as an API server's answer is decoded.
func decoded(t interface{ Fatal(...any) }, text string) map[string]any {
	j, err := yaml.YAMLToJSON([]byte("{apiVersion: v1, kind: Any, o: " + text + "}"))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}
	m, _ := u.Object["o"].(map[string]any)
	return m
}

func TestWhatIsWantedIsAPartOfWhatIsLive(t *testing.T) {
	for name, c := range map[string]struct{ want, live, at string }{
		"the same":                      {`{a: 1}`, `{a: 1}`, ""},
		"more is live":                  {`{a: {b: x}}`, `{a: {b: x, c: y}, d: 1}`, ""},
		"another value":                 {`{a: {b: x}}`, `{a: {b: y}}`, "a.b"},
		"a field lacks":                 {`{a: {b: x}}`, `{a: {}}`, "a.b"},
		"numbers are numbers":           {`{a: 1, b: 2.0}`, `{a: 1.0, b: 2}`, ""},
		"a number may become text":      {`{a: 1, b: 0.5}`, `{a: "1", b: "0.5"}`, ""},
		"but not another one":           {`{a: 1}`, `{a: "2"}`, "a"},
		"text is no number":             {`{a: "1"}`, `{a: 1}`, "a"},
		"nothing is in nothing":         {`{a: {}, b: [], c: null}`, `{}`, ""},
		"null is anything":              {`{a: null}`, `{a: {b: 1}}`, ""},
		"entries by name":               {`{l: [{name: b, v: 1}]}`, `{l: [{name: a}, {name: b, v: 1, w: 2}]}`, ""},
		"an entry's field":              {`{l: [{name: b, v: 1}]}`, `{l: [{name: a, v: 1}, {name: b, v: 2}]}`, "l[0].v"},
		"an entry lacks":                {`{l: [{name: b, v: 1}]}`, `{l: [{name: a, v: 1}]}`, "l"},
		"ports by protocol":             {`{p: [{port: 53}, {port: 53, protocol: UDP}]}`, `{p: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}`, ""},
		"container ports":               {`{p: [{containerPort: 80}]}`, `{p: [{containerPort: 81, protocol: TCP}, {containerPort: 80, protocol: TCP}]}`, ""},
		"entries without a key":         {`{r: [{verbs: [get]}, {verbs: [list]}]}`, `{r: [{verbs: [get]}, {verbs: [list]}]}`, ""},
		"one more without a key":        {`{r: [{verbs: [get]}]}`, `{r: [{verbs: [get]}, {verbs: [list]}]}`, "r"},
		"entries with one name twice":   {`{l: [{name: a, v: 1}, {name: a, v: 2}]}`, `{l: [{name: a, v: 1}, {name: a, v: 2}]}`, ""},
		"values in order":               {`{args: [a, b]}`, `{args: [a, b]}`, ""},
		"values in another order":       {`{args: [a, b]}`, `{args: [b, a]}`, "args[0]"},
		"a value more":                  {`{args: [a]}`, `{args: [a, b]}`, "args"},
		"a key with dots":               {`{metadata: {annotations: {a.b/c: x}}}`, `{metadata: {annotations: {a.b/c: y}}}`, "metadata.annotations[a.b/c]"},
		"a map where a value is wanted": {`{a: x}`, `{a: {b: 1}}`, "a"},
		"an amount in another form":     {`{spec: {resources: {requests: {cpu: "0.1", memory: 1Gi}}}}`, `{spec: {resources: {requests: {cpu: 100m, memory: 1024Mi}}}}`, ""},
		"another amount":                {`{spec: {resources: {requests: {cpu: "0.1"}}}}`, `{spec: {resources: {requests: {cpu: 101m}}}}`, "spec.resources.requests.cpu"},
		"text that looks like one":      {`{data: {limit: "0.1"}}`, `{data: {limit: 100m}}`, "data.limit"},
		"a value where a map is wanted": {`{a: {b: 1}}`, `{a: x}`, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			want, live := decoded(t, c.want), decoded(t, c.live)
			if at := differs(want, live); at != c.at {
				t.Errorf("differs at %q, want %q", at, c.at)
			}
		})
	}
}

func TestAProjectionSeesWhatIsWantedOnly(t *testing.T) {
	want := decoded(t, `{spec: {replicas: 2, cpu: 1000m, l: [{name: a, v: 1}], args: [x], e: {}}}`)
	live := `{spec: {replicas: 2, cpu: "1", l: [{name: a, v: 1, more: 1}, {name: side}], args: [x], e: {}, default: 1}, status: {n: 1}}`
	base := projection(want, decoded(t, live))
	for name, c := range map[string]struct {
		old, new string
		same     bool
	}{
		"a field that is not wanted":   {"default: 1", "default: 2", true},
		"an entry that is not wanted":  {"name: side", "name: other", true},
		"a field of an entry":          {"more: 1", "more: 2", true},
		"the status":                   {"n: 1", "n: 2", true},
		"below an empty map":           {"e: {}", "e: {a: 1}", true},
		"a wanted field":               {"replicas: 2", "replicas: 3", false},
		"one that the server wrote":    {`cpu: "1"`, `cpu: "2"`, false},
		"a wanted field of an entry":   {"v: 1", "v: 2", false},
		"a wanted entry that is gone":  {"{name: a, v: 1, more: 1}, ", "", false},
		"a list of values":             {"args: [x]", "args: [x, y]", false},
		"a wanted field that is gone":  {"replicas: 2, ", "", false},
		"a map that is not there":      {"e: {}, ", "", false},
		"an entry's place in the list": {"{name: a, v: 1, more: 1}, {name: side}", "{name: side}, {name: a, v: 1}", true},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(live, c.old, c.new, 1)
			if text == live {
				t.Fatal("the case changes nothing")
			}
			if same := projection(want, decoded(t, text)) == base; same != c.same {
				t.Errorf("the same: %v", same)
			}
		})
	}
}

func TestFieldsThatWereGivenUpAreFound(t *testing.T) {
	const live = `{apiVersion: v1, metadata: {managedFields: [
		{manager: other, operation: Update, fieldsV1: {"f:theirs": {}}},
		{manager: changeover, operation: Update, fieldsV1: {"f:theirs": {}}},
		{manager: changeover, operation: Apply, subresource: status, fieldsV1: {"f:theirs": {}}},
		{manager: changeover, operation: Apply, apiVersion: v1, fieldsV1: {
			"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}}}, "f:finalizers": {'v:"a"': {}}, "f:empty": {}}}}]}}`
	for name, c := range map[string]struct{ want, at string }{
		"all is wanted":               {`{apiVersion: v1, spec: {ports: [{port: 80, name: web}], finalizers: [a], empty: {}}}`, ""},
		"a field is not":              {`{apiVersion: v1, spec: {ports: [{port: 80}], finalizers: [a], empty: {}}}`, "spec.ports.name"},
		"an entry is not":             {`{apiVersion: v1, spec: {ports: [{port: 81, name: web}], finalizers: [a], empty: {}}}`, "spec.ports"},
		"an entry with another key":   {`{apiVersion: v1, spec: {ports: [{port: 80, protocol: UDP, name: web}], finalizers: [a], empty: {}}}`, "spec.ports"},
		"a value is not":              {`{apiVersion: v1, spec: {ports: [{port: 80, name: web}], finalizers: [b], empty: {}}}`, "spec.finalizers"},
		"a map is not":                {`{apiVersion: v1, spec: {ports: [{port: 80, name: web}], finalizers: [a]}}`, "spec.empty"},
		"nothing is":                  {`{apiVersion: v1}`, "spec"},
		"it was applied in a version": {`{apiVersion: v2, spec: {}}`, "apiVersion"},
	} {
		t.Run(name, func(t *testing.T) {
			if at := surplus(decoded(t, c.want), decoded(t, live)); at != c.at {
				t.Errorf("%q, want %q", at, c.at)
			}
		})
	}
	if at := surplus(decoded(t, `{}`), decoded(t, `{metadata: {managedFields: [{manager: other, operation: Apply, fieldsV1: {}}]}}`)); at == "" {
		t.Error("an object that was never applied is as it was applied")
	}
}

// anything is decoded JSON without empty parts.
func anything(t *rapid.T, depth int) any {
	kinds := 3
	if depth > 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.StringMatching(`[a-c]{1,2}`).Draw(t, "text")
	case 1:
		return rapid.Int64Range(0, 3).Draw(t, "number")
	case 2:
		return rapid.Bool().Draw(t, "bool")
	case 3:
		m := map[string]any{}
		for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "name", "port"}), 1, 3, rapid.ID).Draw(t, "keys") {
			m[k] = anything(t, depth-1)
		}
		return m
	}
	list := make([]any, rapid.IntRange(1, 3).Draw(t, "length"))
	for i := range list {
		list[i] = anything(t, depth-1)
	}
	return list
}

func TestComparingHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, live := anything(t, 3), anything(t, 3)
		if at := differs(want, want); at != "" {
			t.Fatalf("%v differs from itself at %q", want, at)
		}
		if differs(want, clone(want)) != "" || projection(want, clone(want)) != projection(want, want) || digestOf(clone(want)) != digestOf(want) {
			t.Fatalf("a copy of %v differs", want)
		}
		// What is as wanted to the letter looks like what is wanted.
		if differs(want, live) == "" && projection(want, live) != projection(want, want) { // no text is a number here
			t.Fatalf("%v is a part of %v, but their projections differ", want, live)
		}
		// More beside it does not count.
		if m, ok := want.(map[string]any); ok {
			more := maps.Clone(m)
			more["z"] = live
			if differs(want, more) != "" || projection(want, more) != projection(want, want) {
				t.Fatalf("%v and more differ", want)
			}
		}
	})
}

func TestACopySharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := map[string]any{"o": anything(t, 3)}
		before := digestOf(o)
		spoil(clone(o))
		if digestOf(o) != before {
			t.Fatalf("%v was changed through its copy", o)
		}
	})
}

func spoil(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			spoil(v[k])
			v[k] = "spoilt"
		}
	case []any:
		for i := range v {
			spoil(v[i])
			v[i] = "spoilt"
		}
	}
}
