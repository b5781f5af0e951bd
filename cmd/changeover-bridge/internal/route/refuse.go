package route

import (
	"net/http"
	"strings"
)

// Refuse says, for a request that no rule may govern, by which status and why
// it is refused; 0 for every other. nginx refuses the same.
func Refuse(r *http.Request) (status int, why string) {
	switch {
	case r.Method == http.MethodConnect:
		return http.StatusMethodNotAllowed, "it is no forward proxy and refuses CONNECT"
	case r.Method == http.MethodTrace:
		return http.StatusMethodNotAllowed, "it refuses TRACE"
	case strings.Trim(r.Method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-") != "":
		// Some backends take `post` for POST, no rule does.
		return http.StatusBadRequest, "methods are upper-case words"
	}
	if _, ok := Path(r.URL); !ok {
		return http.StatusBadRequest, "the path is one that servers read differently: " +
			"it leads above /, holds a NUL, # or ;, or has both .. and an encoded slash"
	}
	return 0, ""
}
