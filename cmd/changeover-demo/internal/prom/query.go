package prom

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Value asks the server over HTTP, as any client does. ok is false where the
// answer is not exactly one series.
func (s *Server) Value(ctx context.Context, query string) (value float64, ok bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return 0, false, fmt.Errorf("ask Prometheus: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false, fmt.Errorf("ask Prometheus: %w", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, false, fmt.Errorf("read the answer of Prometheus: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return 0, false, fmt.Errorf("ask Prometheus: %s: %s", resp.Status, answer.Error)
	}
	if len(answer.Data.Result) != 1 {
		return 0, false, nil
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	value, err = strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false, fmt.Errorf("read the answer of Prometheus: %w", err)
	}
	return value, true, nil
}
