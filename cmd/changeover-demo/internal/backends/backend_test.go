package backends

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestABrokenBackendFailsItsShareAndCountsIt(t *testing.T) {
	b, err := Start(t.Context(), "modern")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	url := "http://" + b.Addr()
	count := func(n int) map[int]int {
		codes := make(map[int]int)
		for range n {
			resp, err := http.Post(url+"/orders", "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			codes[resp.StatusCode]++
		}
		return codes
	}
	if got := count(20); got[http.StatusCreated] != 20 {
		t.Errorf("healthy: %v, want 20 times 201", got)
	}
	b.Break(5)
	if got := count(20); got[500] != 4 || got[http.StatusCreated] != 16 {
		t.Errorf("every 5th broken: %v, want 4 of 20", got)
	}
	b.Break(0)
	if got := count(10); got[http.StatusCreated] != 10 {
		t.Errorf("healed: %v, want 10 times 201", got)
	}
	if b.Faults() != 4 {
		t.Errorf("faults are %d, want 4", b.Faults())
	}
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, want := range []string{
		`orders_requests_total{code="200",method="GET",side="modern"} 0`,
		`orders_requests_total{code="201",method="POST",side="modern"} 46`,
		`orders_requests_total{code="500",method="POST",side="modern"} 4`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("metrics have no %s:\n%s", want, text)
		}
	}
}
