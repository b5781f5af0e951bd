package browser

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"

	"github.com/changeover-dev/changeover/test/child"
)

// Patience is how long anything is waited for. On a busy machine a browser takes
// its time, and none of it is wasted when what is waited for comes.
const Patience = 90 * time.Second

// Browser is a Chromium that ends with the test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Start starts one.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("find chromium: %v; `make deps` installs it", err)
	}
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--no-first-run", "--no-default-browser-check", "--hide-scrollbars", "--force-color-profile=srgb",
		"--remote-debugging-port=0", "--user-data-dir="+filepath.Join(dir, "profile"), "about:blank")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	ended, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		awaitGone(filepath.Join(dir, "profile"))
	})
	ctx, cancel := remote.NewAllocator(context.Background(), devTools(t, filepath.Join(dir, "profile"), ended, out.Name()), remote.NoModifyURL)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("connect to chromium: %v", err)
	}
	return &Browser{t: t, ctx: ctx}
}

// awaitGone removes the profile; Chromium's children may write to it for a moment
// after it was killed.
func awaitGone(profile string) {
	for range 100 {
		if os.RemoveAll(profile) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// devTools is the address that Chromium writes down once it listens.
func devTools(t testing.TB, profile string, ended <-chan struct{}, out string) string {
	t.Helper()
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
		if port, path, ok := strings.Cut(strings.TrimSpace(string(b)), "\n"); err == nil && ok {
			return "ws://127.0.0.1:" + port + path
		}
		select {
		case <-ended:
			b, _ := os.ReadFile(out)
			t.Fatalf("chromium ended:\n%s", b)
		default:
		}
	}
	b, _ := os.ReadFile(out)
	t.Fatalf("chromium does not listen:\n%s", b)
	return ""
}

// Request is what a tab has asked for.
type Request struct {
	URL    string
	Status int64 // 0: no answer came
	Bytes  int64 // of the answer, as it came
}

// Tab is one of the browser, with what it asked for and what its pages
// complained of. Its methods are for one goroutine and end the test where they
// fail.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	ids      map[network.RequestID]int
	requests []Request
	// Complaints of the console and of the content policy.
	complaints []string
	expected   int64 // an answer that is meant; 0: none
}

// Screen is how a tab shows pages.
type Screen struct {
	Width, Height int64
	Dark          bool
	NoScript      bool
}

// The two screens that people have.
var (
	Desktop = Screen{Width: 1280, Height: 900}
	Phone   = Screen{Width: 390, Height: 844}
)

// Open opens a tab, until the test ends, and loads a page.
func (b *Browser) Open(t testing.TB, s Screen, address string) *Tab {
	t.Helper()
	tab := &Tab{t: t, ids: map[network.RequestID]int{}}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(tab.hear))
	t.Cleanup(cancel)
	tab.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // a tab lives as long as the context of its first call
		t.Fatalf("open a tab: %v", err)
	}
	scheme := "light"
	if s.Dark {
		scheme = "dark"
	}
	tab.Do(
		command(network.Enable, network.EnableParams{}),
		command(log.Enable, cdp.Empty{}),
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: s.Width, Height: s.Height, DeviceScaleFactor: 1, Mobile: s.Width < 600}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: s.NoScript}),
		chromedp.Navigate(address),
	)
	return tab
}

// command is one of the protocol.
func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// Do runs actions of chromedp.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	run(tab, chromedp.Steps(actions...))
}

func run[T any](tab *Tab, a chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	out, err := chromedp.Run(ctx, a)
	if err != nil {
		tab.t.Fatalf("drive the browser: %v", err)
	}
	return out
}

// Eval evaluates an expression, and awaits it where it is a promise.
func Eval[T any](tab *Tab, expr string) T {
	tab.t.Helper()
	return run(tab, chromedp.Evaluate[T](expr, chromedp.EvalAwaitPromise))
}

// Text is that of the whole page.
func (tab *Tab) Text() string {
	tab.t.Helper()
	return Eval[string](tab, "document.body.innerText")
}

// Wait waits until an expression is true.
func (tab *Tab) Wait(expr string) {
	tab.t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(50 * time.Millisecond) {
		if Eval[bool](tab, "Boolean("+expr+")") {
			return
		}
		if time.Now().After(deadline) {
			tab.t.Fatalf("the page never had %s; it says:\n%s", expr, tab.Text())
		}
	}
}

// Requests until now.
func (tab *Tab) Requests() []Request {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]Request(nil), tab.requests...)
}

// Expect says that answers of a status are meant to be.
func (tab *Tab) Expect(status int64) { tab.expected = status }

// Quiet fails the test where the tab asked anybody but the host of the address,
// or a page complained.
func (tab *Tab) Quiet(address string) {
	tab.t.Helper()
	own, err := url.Parse(address)
	if err != nil {
		tab.t.Fatal(err)
	}
	asked := tab.Requests()
	if len(asked) == 0 {
		tab.t.Error("the network log is empty: nothing was watched")
	}
	for _, r := range asked {
		if u, err := url.Parse(r.URL); err != nil || u.Host != own.Host {
			tab.t.Errorf("the page asked %s", r.URL)
		}
		if r.Status >= http.StatusBadRequest && r.Status != tab.expected {
			tab.t.Errorf("%s was answered by %d", r.URL, r.Status)
		}
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	for _, c := range tab.complaints {
		if tab.expected != 0 && strings.Contains(c, strconv.FormatInt(tab.expected, 10)) {
			continue
		}
		tab.t.Errorf("the browser complains: %s", c)
	}
}

// View is a PNG of what fits on the screen.
func (tab *Tab) View() []byte {
	tab.t.Helper()
	return run(tab, chromedp.CaptureScreenshot())
}
