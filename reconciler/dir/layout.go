package dir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// The files of a folder beside the objects.
const (
	kustomizationFile = "kustomization.yaml"
	metaFile          = "changeover.json"
)

// meta is what stands in metaFile.
type meta struct {
	Plan string `json:"plan"`
	// Mark is what the plan was last brought to.
	Mark *reconciler.Mark `json:"mark,omitempty"`
	// Files of the objects, in their order.
	Files []string `json:"files"`
}

// written is what was found in a plan's folder.
type written struct {
	files   map[string][]byte
	meta    meta
	objects []render.Object
	// broken are the files of objects that do not parse any more, by why.
	broken map[string]string
}

func (w *written) object(id render.ID) render.Object {
	if i := slices.IndexFunc(w.objects, func(o render.Object) bool { return o.ID() == id }); i >= 0 {
		return w.objects[i]
	}
	return nil
}

func (w *written) unreadable() error {
	names := make([]string, 0, len(w.broken))
	for name, why := range w.broken {
		names = append(names, name+": "+why)
	}
	slices.Sort(names)
	return fmt.Errorf("what stands there was changed by hand and cannot be read: put it back, or delete it: %s", firstFew(names))
}

// encode writes objects as the files of a folder.
func encode(key plan.Key, objects []render.Object, mark *reconciler.Mark) (map[string][]byte, error) {
	files := map[string][]byte{}
	m := meta{Plan: key.String(), Mark: mark, Files: names(objects)}
	var k bytes.Buffer
	fmt.Fprintf(&k, "# Written by Changeover for plan %s. What is changed here is overwritten.\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n", key)
	for i, o := range objects {
		o, err := signed(o)
		if err != nil {
			return nil, err
		}
		b, err := toYAML(o)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be written as YAML: %w", title(o.ID()), err)
		}
		files[m.Files[i]] = b
		fmt.Fprintf(&k, "- %s\n", m.Files[i])
	}
	files[kustomizationFile] = k.Bytes()
	b, err := m.encode()
	if err != nil {
		return nil, err
	}
	files[metaFile] = b
	return files, nil
}

// toYAML writes an object. What YAML has only as an escape is escaped: JSON
// would let it stand as it is.
func toYAML(o render.Object) ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, r := range string(b) {
		if r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff {
			fmt.Fprintf(&text, `\u%04x`, r)
		} else {
			text.WriteRune(r)
		}
	}
	return yaml.JSONToYAML([]byte(text.String()))
}

func (m meta) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", metaFile, err)
	}
	return append(b, '\n'), nil
}

// decode reads the files of a folder. The error says that the folder is not
// the plan's, or cannot be told to be.
func decode(key plan.Key, files map[string][]byte) (*written, error) {
	w := &written{files: files, broken: map[string]string{}}
	if len(files) == 0 {
		return w, nil
	}
	text, ok := files[metaFile]
	if !ok {
		return nil, fmt.Errorf("it holds files and no %s: it was not written by Changeover, and is not replaced; name another place, or empty it", metaFile)
	}
	if err := json.Unmarshal(text, &w.meta); err != nil {
		return nil, fmt.Errorf("%s is damaged: put it back, or delete the whole folder to have it written anew: %w", metaFile, err)
	}
	if w.meta.Plan != key.String() {
		return nil, fmt.Errorf("it belongs to plan %q by its %s: name another place, or delete the folder", w.meta.Plan, metaFile)
	}
	for _, name := range w.meta.Files {
		text, ok := files[name]
		if !ok {
			continue // taken out by hand
		}
		o, err := parse(text)
		if err != nil {
			w.broken[name] = err.Error()
			continue
		}
		w.objects = append(w.objects, o)
	}
	return w, nil
}

// parse reads the file of an object. The error holds nothing of what is in it.
func parse(text []byte) (render.Object, error) {
	b, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, errors.New("it is no YAML")
	}
	v, err := decodeJSON(b)
	if err != nil || v == nil {
		return nil, errors.New("it is no object")
	}
	o := render.Object(v)
	if id := o.ID(); id.Kind == "" || id.Name == "" {
		return nil, errors.New("it has no kind or no name")
	}
	delete(mapIn(mapIn(o, "metadata"), "annotations"), contentAnnotation)
	return o, nil
}

func decodeJSON(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	numbers(v)
	return v, nil
}

// numbers makes whole numbers int64 and others float64, as renders have them.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // a number of JSON is one
		return f
	}
	return v
}

// maxName bounds the names of files, in bytes.
const maxName = 200

// names are the files of objects. An object has the same name whatever stands
// beside it, unless another's would be the same.
func names(objects []render.Object) []string {
	out := make([]string, len(objects))
	count := map[string]int{}
	for i, o := range objects {
		out[i] = fileName(o.ID())
		count[out[i]]++
	}
	for i, o := range objects {
		id := o.ID()
		if count[out[i]] > 1 || len(out[i]) > maxName {
			sum := sha256.Sum256([]byte(id.String()))
			out[i] = out[i][:min(len(out[i]), maxName)] + "-" + hex.EncodeToString(sum[:4])
		}
		out[i] += ".yaml"
	}
	return out
}

// fileName is STAGE-KIND-NAMESPACE-NAME, with nothing in it that a file system
// may read otherwise.
func fileName(id render.ID) string {
	parts := []string{fmt.Sprintf("%02d", stage(id)), id.Kind, id.Namespace, id.Name}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.Join(parts, "-")))
}
