package inventory_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/render/entity"
)

// source opens legacy's inventory of entities.
func source(t *testing.T, e *plan.Entities, o inventory.Options) inventory.Source {
	t.Helper()
	p, err := entity.Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	s, err := inventory.Open("source", e.Source, p.Legacy, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func byHTTP(t *testing.T, h http.HandlerFunc) inventory.Source {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := call.New(call.Options{AllowHosts: []string{u.Host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return source(t, &plan.Entities{ID: "item.id", Live: "item.live", Source: &plan.Inventory{HTTP: &plan.HTTPInventory{
		URL: s.URL + "/list?limit=3", Items: "body.items", Next: "body.?next", MaxPage: 1000, Item: fmt.Sprintf("%q + escape(id)", s.URL+"/one/"), Headers: map[string]string{"X-Tenant": "so"},
	}}}, inventory.Options{Caller: c})
}

func list(t *testing.T, s inventory.Source) (ids []string, bad []string, err error) {
	t.Helper()
	err = s.List(t.Context(), func(it inventory.Item) error {
		if it.Bad != "" {
			bad = append(bad, it.ID+": "+it.Bad)
			return nil
		}
		ids = append(ids, it.ID)
		return nil
	})
	return ids, bad, err
}

func TestPagesAreFollowedToTheEnd(t *testing.T) {
	s := byHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Tenant") != "so" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		n, _ := strconv.Atoi(r.URL.Query().Get("page"))
		next := []string{`, "next": "?page=1"`, `, "next": "/list?page=2"`, fmt.Sprintf(`, "next": "http://%s/list?page=3#top"`, r.Host), `, "next": null`}[n]
		fmt.Fprintf(w, `{"items": [{"id": "a%d", "live": true}, {"id": %d, "live": false}]%s}`, n, n, next)
	})
	ids, bad, err := list(t, s)
	if got := strings.Join(ids, " "); got != "a0 0 a1 1 a2 2 a3 3" || bad != nil || err != nil {
		t.Errorf("listed %s, bad %v, error %v", got, bad, err)
	}
}

func TestItemsThatCannotBeReadAreToldOneByOne(t *testing.T) {
	s := byHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"items": [{"id": "a", "live": true}, {"live": true}, {"id": "x/y", "live": true}, {"id": "b"}, "text", null, {"id": "a", "live": true}]}`)
	})
	ids, bad, err := list(t, s)
	if strings.Join(ids, " ") != "a a" || len(bad) != 5 || err != nil {
		t.Errorf("listed %v, bad %q, error %v", ids, bad, err)
	}
	if len(bad) == 5 && (!strings.Contains(bad[1], `"x/y"`) || !strings.HasPrefix(bad[2], "b: ")) {
		t.Errorf("bad %q", bad)
	}
}

func TestAListThatIsNotWholeIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		second string
		want   string
	}{
		"a loop":           {`{"items": [], "next": "?page=2"}`, "leads back"},
		"another host":     {`{"items": [], "next": "http://169.254.169.254/x"}`, "another host"},
		"no text":          {`{"items": [], "next": 3}`, "want text or null"},
		"no list":          {`{"items": {}}`, "want a list"},
		"no field":         {`{"entries": []}`, `"items" is not there`},
		"no JSON":          {`{"items": [`, "no JSON"},
		"too large a page": {`{"items": ["` + strings.Repeat("x", 1000) + `"]}`, "larger than 1000 bytes"},
		"too deep":         {strings.Repeat("[", 200), "nested more"},
		"an error":         {"", "answered 500"},
	} {
		s := byHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Query().Get("page") == "":
				fmt.Fprint(w, `{"items": [{"id": "a", "live": true}], "next": "?page=2"}`)
			case c.second == "":
				w.WriteHeader(http.StatusInternalServerError)
			default:
				fmt.Fprint(w, c.second)
			}
		})
		if _, _, err := list(t, s); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "page ") {
			t.Errorf("%s: error %v, want %q and the page", name, err, c.want)
		}
	}
}

func TestOneEntityIsAskedFor(t *testing.T) {
	s := byHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.EscapedPath() {
		case "/one/a%3F":
			fmt.Fprint(w, `{"id": "a?", "live": true}`)
		case "/one/b":
			fmt.Fprint(w, `{"id": "c", "live": true}`)
		default:
			w.WriteHeader(http.StatusGone)
		}
	})
	if it, err := s.Get(t.Context(), "a?"); err != nil || it.ID != "a?" || !it.Live {
		t.Errorf("%+v, error %v", it, err)
	}
	if _, err := s.Get(t.Context(), "b"); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("another entity is taken: %v", err)
	}
	if _, err := s.Get(t.Context(), "d"); !errors.Is(err, inventory.ErrNotFound) {
		t.Errorf("one that is gone: %v", err)
	}
}
