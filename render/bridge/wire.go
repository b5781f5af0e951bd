package bridge

import (
	"crypto/sha256"
	"encoding/hex"
)

// What a bridge says at VersionPath, beside the hash that it serves in the
// body, while the file on disk is one that it refuses.
const (
	// HeaderRejected is the Digest of the refused file.
	HeaderRejected = "X-Changeover-Rejected"
	// HeaderError says why, in one line.
	HeaderError = "X-Changeover-Error"
)

// HeaderSide names the side on requests to backends and on their answers.
const HeaderSide = "X-Changeover-Side"

// ReservedPrefix is answered by the bridge itself, never by a backend.
const ReservedPrefix = "/_changeover/"

// VersionPath is where a bridge answers with the hash of what it serves for
// the plan of that name, and a newline.
func VersionPath(name string) string { return ReservedPrefix + name + "/version" }

// Digest names the bytes of a file, which the hash of its content does not:
// the mark counts, and so does a file that does not parse.
func Digest(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:16])
}
