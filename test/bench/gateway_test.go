package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/render/nginx"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

const connections = 64

// gateway is what stands in front of the backends.
type gateway struct {
	name, addr string
	pids       func() []int
	file       string // the bridge's config
}

// bed is an nginx and a bridge that do the same split, in front of an nginx that
// returns 1 KiB at once.
type bed struct {
	backend  string // HOST:PORT of legacy
	gateways []gateway
	plan     *plan.Plan
}

var position = plan.Position{Phase: "gradual", Percent: 25}

func newBed(b *testing.B) *bed {
	b.Helper()
	answer := fmt.Sprintf("keepalive_requests 1000000; location / { default_type text/plain; return 200 %q; }", strings.Repeat("x", 1024))
	var backends []string
	for range 2 {
		s := nginxtest.New(b, nginxtest.Config{Workers: 1, Server: answer})
		s.Run()
		backends = append(backends, s.URL)
	}
	p := &plan.Plan{
		Metadata: plan.Metadata{Name: "so", Namespace: "default"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: backends[0]}, Modern: plan.Backend{URL: backends[1]}},
			Identity: &plan.Identity{Header: "X-User"},
			Phases:   []plan.Phase{{Name: position.Phase, Percents: []plan.Percent{position.Percent}, Routes: []plan.Route{{To: plan.ToSplit}}}},
		},
	}
	return &bed{strings.TrimPrefix(backends[0], "http://"), []gateway{startNGINX(b, p), startBridge(b, p)}, p}
}

func startNGINX(b *testing.B, p *plan.Plan) gateway {
	b.Helper()
	s := nginxtest.New(b, nginxtest.Config{Workers: 2, Server: "keepalive_requests 1000000;"})
	files, err := nginx.Render(p, position)
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(s.Dir, "changeover")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string][]byte{"so.upstreams.conf": files.Upstreams, "so.maps.conf": files.Maps, "so.locations.conf": files.Locations} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	s.Run()
	return gateway{name: "nginx", addr: strings.TrimPrefix(s.URL, "http://"), pids: s.WorkerPIDs}
}

func startBridge(b *testing.B, p *plan.Plan) gateway {
	b.Helper()
	dir := b.TempDir()
	program, file := filepath.Join(dir, "changeover-bridge"), filepath.Join(dir, "bridge.json")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/changeover-dev/changeover/cmd/changeover-bridge").CombinedOutput(); err != nil {
		b.Fatalf("build the bridge: %v\n%s", err, out)
	}
	put(b, file, p)
	addr := child.FreeAddr(b)
	cmd := exec.Command(program, "--config", file, "--listen", addr, "--admin", child.FreeAddr(b))
	if _, err := child.Start(cmd, syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(end) {
			b.Fatalf("the bridge does not listen: %v", err)
		}
	}
	return gateway{name: "bridge", addr: addr, pids: func() []int { return []int{cmd.Process.Pid} }, file: file}
}

// put writes the bridge's config as the daemon does, and returns its hash.
func put(b *testing.B, file string, p *plan.Plan) string {
	b.Helper()
	c, err := bridge.Render(p, position)
	if err != nil {
		b.Fatal(err)
	}
	src, err := c.Encode()
	if err == nil {
		err = os.WriteFile(file+".new", src, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		b.Fatal(err)
	}
	return c.Hash
}

// cpu is what the processes have used, to a hundredth of a second.
func (g gateway) cpu(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, pid := range g.pids() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		for _, f := range fields[11:13] {
			ticks, err := strconv.Atoi(f)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

// resident is the memory of the processes, in MiB.
func (g gateway) resident(b *testing.B) (sum float64) {
	b.Helper()
	for _, pid := range g.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			b.Fatal(err)
		}
		m := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindSubmatch(text)
		if m == nil {
			b.Fatal("the status has no RssAnon")
		}
		kib, _ := strconv.ParseFloat(string(m[1]), 64)
		sum += kib / 1024
	}
	return sum
}

const script = `local n = 0
request = function() n = n + 1; wrk.headers["X-User"] = "user-" .. (n % 1000); return wrk.format("GET", "/deployments/" .. (n % 100)) end
`

// wrk loads an address as fast as it goes, and returns the requests a second and
// how many there were.
func wrk(b *testing.B, addr string, d time.Duration) (rate, requests float64) {
	b.Helper()
	out := run(b, addr, 2, d, script)
	return number(b, out, `Requests/sec:\s+([\d.]+)`), number(b, out, `(\d+) requests in`)
}

// run is what wrk says.
func run(b *testing.B, addr string, threads int, d time.Duration, script string) []byte {
	b.Helper()
	file := filepath.Join(b.TempDir(), "requests.lua")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		b.Fatal(err)
	}
	out, err := exec.Command("wrk", fmt.Sprint("-t", threads), fmt.Sprint("-c", connections), fmt.Sprintf("-d%ds", int(d.Seconds())), "-s", file, "http://"+addr+"/").CombinedOutput()
	if err != nil {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	if bad := regexp.MustCompile(`(?m)^.*(Non-2xx|Socket errors).*$`).Find(out); bad != nil {
		b.Errorf("%s: %s", addr, bad)
	}
	return out
}

func number(b *testing.B, out []byte, pattern string) float64 {
	b.Helper()
	m := regexp.MustCompile(pattern).FindSubmatch(out)
	if m == nil {
		b.Fatalf("wrk says\n%s", out)
	}
	f, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

// BenchmarkTheBridgeBesideNGINX: requests a second of both at the same split, and
// the processor time and memory of each.
func BenchmarkTheBridgeBesideNGINX(b *testing.B) {
	bed := newBed(b)
	rates, cost := map[string][]float64{}, map[string][]float64{}
	var shares []float64
	for b.Loop() {
		of := map[string]float64{}
		for _, g := range bed.gateways {
			before := g.cpu(b)
			rate, n := wrk(b, g.addr, 5*time.Second)
			of[g.name] = rate
			rates[g.name] = append(rates[g.name], rate)
			cost[g.name] = append(cost[g.name], float64((g.cpu(b)-before).Microseconds())/n)
		}
		shares = append(shares, 100*of["bridge"]/of["nginx"])
	}
	for _, g := range bed.gateways {
		b.ReportMetric(median(rates[g.name]), g.name+"-requests/s")
		b.ReportMetric(median(cost[g.name]), g.name+"-cpu-us/request")
		b.ReportMetric(g.resident(b), g.name+"-MiB")
	}
	b.ReportMetric(median(shares), "%-of-nginx")
}

// BenchmarkSwapsUnderLoad: under wrk at full load the bridge gets a hundred other
// configs and serves each; a request that fails is an error.
func BenchmarkSwapsUnderLoad(b *testing.B) {
	const swaps = 100
	bed := newBed(b)
	g := bed.gateways[1]
	version := "http://" + g.addr + bridge.VersionPath("so")
	var took []float64
	var requests float64
	for b.Loop() {
		done := make(chan float64)
		go func() {
			_, n := wrk(b, g.addr, 20*time.Second)
			done <- n
		}()
		for i := range swaps {
			bed.plan.Spec.Phases[0].Routes = []plan.Route{
				{Match: &plan.Match{Path: fmt.Sprint("/", i)}, To: plan.ToLegacy}, {To: plan.ToSplit},
			}
			begun, hash := time.Now(), put(b, g.file, bed.plan)
			for !serves(version, hash) {
				if time.Since(begun) > 20*time.Second {
					b.Fatalf("swap %d is not served", i)
				}
				time.Sleep(time.Millisecond)
			}
			took = append(took, time.Since(begun).Seconds()*1e3)
			time.Sleep(100 * time.Millisecond)
		}
		requests = <-done
	}
	b.ReportMetric(requests/swaps, "requests/swap")
	b.ReportMetric(median(took), "ms-to-served")
}

func serves(version, hash string) bool {
	res, err := http.Get(version)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	got, _ := io.ReadAll(res.Body)
	return strings.TrimSpace(string(got)) == hash
}

// BenchmarkLatencyAtHalfLoad: half of what the bridge can, to the backend itself
// and through each gateway, in turns.
func BenchmarkLatencyAtHalfLoad(b *testing.B) {
	bed := newBed(b)
	most, _ := wrk(b, bed.gateways[1].addr, 3*time.Second)
	ways := append([]gateway{{name: "direct", addr: bed.backend}}, bed.gateways...)
	p50, p99, rates, added := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		of := map[string]float64{}
		for _, w := range ways {
			l := paced(b, w.addr, most/2, 5*time.Second)
			p50[w.name], p99[w.name], rates[w.name] = append(p50[w.name], l.p50), append(p99[w.name], l.p99), append(rates[w.name], l.rate)
			of[w.name] = l.p99
		}
		for _, g := range bed.gateways {
			added[g.name] = append(added[g.name], of[g.name]-of["direct"])
		}
	}
	for _, w := range ways {
		b.ReportMetric(median(rates[w.name]), w.name+"-requests/s")
		b.ReportMetric(median(p50[w.name]), w.name+"-p50-us")
		b.ReportMetric(median(p99[w.name]), w.name+"-p99-us")
	}
	for _, g := range bed.gateways {
		b.ReportMetric(median(added[g.name]), g.name+"-adds-p99-us")
	}
}

// latency is what wrk saw, in microseconds, at a rate in requests a second.
type latency struct{ p50, p99, rate float64 }

// paced loads an address at about a rate: each connection waits between its
// requests for a time drawn evenly between 0 and twice the mean. wrk takes a
// fraction of the processor that a generator in Go takes, which on two cores
// would be most of what is measured.
func paced(b *testing.B, addr string, rate float64, d time.Duration) latency {
	b.Helper()
	pace := fmt.Sprintf(`local between = %f
delay = function() return math.floor(math.random() * 2 * between + 0.5) end
done = function(s, l) io.write(string.format("P50 %%d P99 %%d\n", l:percentile(50), l:percentile(99))) end
`, connections/rate*1000-0.5)
	out := run(b, addr, 1, d, script+pace)
	return latency{number(b, out, `P50 (\d+)`), number(b, out, `P99 (\d+)`), number(b, out, `Requests/sec:\s+([\d.]+)`)}
}
