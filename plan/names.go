package plan

import (
	"regexp"
	"slices"
	"strings"
)

// Forms of the names in a plan. Many of them end in the configuration of a
// gateway, in metric labels or in commit messages.
var (
	label      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`) // DNS-1123
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	token      = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$") // RFC 9110
	queryName  = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)
	cohort     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	method     = regexp.MustCompile(`^[A-Z][A-Z-]{0,31}$`)
	hostname   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$`)
	address    = regexp.MustCompile("^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}([.][A-Za-z0-9-]{1,63})*$") // as HTML has it
	apiKind    = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,62}$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	apiVersion = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

const (
	labelForm     = "use lower-case letters, digits and -, at most 63, with a letter or digit at both ends"
	subdomainForm = "use lower-case letters, digits and -, in parts with . between them, at most 253, with a letter or digit at both ends of each part"
)

// isSubdomain reports whether a name is a DNS-1123 subdomain: labels with dots
// between them.
func isSubdomain(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !label.MatchString(part) {
			return false
		}
	}
	return len(s) <= 253
}

// IsPlanName reports whether a plan can have the name.
func IsPlanName(s string) bool { return label.MatchString(s) }

// celWords cannot be the name of a signal or object: CEL reads them as its own.
var celWords = []string{
	"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
	"import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
}

// reservedPhases have a meaning of their own where positions are written.
var reservedPhases = []string{"complete", "none"}

// fieldValue reports whether a text can be the value of a header: printable
// ASCII with no blanks at the ends.
func fieldValue(s string) bool {
	return len(s) <= maxText && strings.Trim(s, " ") == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// maxText bounds paths, expressions over paths, and header values, in bytes.
const maxText = 1024

// gatewayHeaders belong to one connection or are written by the gateway itself.
var gatewayHeaders = []string{"connection", "content-length", "date", "keep-alive", "proxy-connection", "server", "te", "trailer", "transfer-encoding", "upgrade"}

func isGatewayHeader(header string) bool {
	return slices.Contains(gatewayHeaders, strings.ToLower(header))
}

// SafeMethods change nothing at the side that is asked: requests with others
// are copied only where a plan says why they may be.
var SafeMethods = []string{"GET", "HEAD", "OPTIONS"}

func isSafe(method string) bool { return slices.Contains(SafeMethods, method) }
