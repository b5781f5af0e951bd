package translation_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/translation"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/translate"
)

// hurried is a connection on which a deadline comes soon, and that keeps for how
// long it was asked.
type hurried struct {
	http.ResponseWriter
	asked []time.Duration
}

func (h *hurried) SetReadDeadline(at time.Time) error {
	soon := at
	if !at.IsZero() {
		h.asked = append(h.asked, time.Until(at))
		soon = time.Now().Add(20 * time.Millisecond)
	} else {
		h.asked = append(h.asked, 0)
	}
	return http.NewResponseController(h.ResponseWriter).SetReadDeadline(soon)
}

// TestABodyThatDoesNotArriveIsGivenUp: a client that stalls is told 408, after a
// minute, and one that does not has its deadline taken away.
func TestABodyThatDoesNotArriveIsGivenUp(t *testing.T) {
	tr, err := translate.Compile("create", plan.Translation{Request: &plan.RequestMapping{Body: `{"name": request.body.name}`}})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan []time.Duration, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := &hurried{ResponseWriter: w}
		_, problem := translation.Begin(h, r, tr)
		asked <- h.asked
		if problem != nil {
			w.WriteHeader(problem.Status)
			fmt.Fprint(w, problem.Text)
		}
	}))
	t.Cleanup(s.Close)
	ask := func(body string) int {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n%s", body)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if code, limits := ask(`{"name": `), <-asked; code != http.StatusRequestTimeout || len(limits) != 1 || limits[0] < 50*time.Second || limits[0] > time.Minute {
		t.Errorf("a body that stalls: answered %d, with deadlines in %v", code, limits)
	}
	if code, limits := ask(`{"name":"a"}`), <-asked; code != http.StatusOK || len(limits) != 2 || limits[1] != 0 {
		t.Errorf("a whole body: answered %d, with deadlines in %v", code, limits)
	}
}
