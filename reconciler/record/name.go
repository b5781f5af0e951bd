package record

import (
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// maxName is the longest file name of common file systems, in bytes.
const maxName = 255

// folderName is the plan's folder below the root. Names that Kubernetes allows
// stand as they are.
func folderName(key plan.Key) (string, error) {
	ns, name := escape(key.Namespace), escape(key.Name)
	if len(ns) > maxName || len(name) > maxName {
		return "", fmt.Errorf("name folder of plan: namespace and name may have %d bytes each, got %d and %d; give the plan a shorter name",
			maxName, len(ns), len(name))
	}
	return path.Join(plansDir, ns, name), nil
}

// escape makes any text one safe file name, and different texts different
// names, on file systems that fold case too. The empty text becomes "%".
func escape(s string) string {
	if s == "" {
		return "%"
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteString(hex.EncodeToString([]byte{c}))
		}
	}
	return b.String()
}

// unescape is the inverse of escape; ok is false for a name that escape never
// gives.
func unescape(name string) (s string, ok bool) {
	if name == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", false
		}
		c, err := hex.DecodeString(name[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.WriteByte(c[0])
		i += 2
	}
	return b.String(), escape(b.String()) == name
}
