package send

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// client follows no redirect: what is sent is for the receiver alone.
var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// maxAnswer bounds what is read of an answer, so that the connection is used again.
const maxAnswer = 64 << 10

// post makes one attempt. Its errors hold neither the URL nor the answer; those
// that another attempt would not mend are permanent.
func (r Receiver) post(ctx context.Context, deadline time.Duration, contentType string, body []byte) error {
	to, err := r.endpoint()
	if err != nil {
		return err
	}
	token := ""
	if r.TokenFile != "" {
		if token, err = secret(r.TokenFile); err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(errors.New("make the request: the URL is not valid"))
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "changeover")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return fmt.Errorf("reach the receiver: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	return judged(resp)
}

// judged is the error of an answer, or nil.
func judged(resp *http.Response) error {
	err := fmt.Errorf("the receiver answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	switch c := resp.StatusCode; {
	case c < 300:
		return nil
	case c == http.StatusTooManyRequests:
		if s, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && s > 0 && s <= 600 {
			return backoff.RetryAfter(s)
		}
		return err
	case c == http.StatusRequestTimeout, c >= 500:
		return err
	default:
		return backoff.Permanent(err)
	}
}
