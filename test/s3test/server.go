package s3test

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/cluster/components"
)

// Credentials of the service's root, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
// have them, and its region.
const (
	AccessKey = "changeover"
	SecretKey = "s3cret-of-the-test"
	Region    = "us-east-1"
)

// patience is how long the service may take to come: the machine may be busy.
const patience = 2 * time.Minute

// Server is one service.
type Server struct {
	// URL is its endpoint.
	URL string
	// Dir has a folder for each bucket, and below it each object as the file of its
	// key: what is written there is what the service answers.
	Dir string
}

// Start runs a service with these buckets until the test ends, and sets the
// credentials in the environment. It fails the test where the program is missing.
func Start(t *testing.T, buckets ...string) *Server {
	t.Helper()
	cache, err := components.DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	program, err := cache.Find(components.Versitygw)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	s := &Server{Dir: filepath.Join(home, "data")}
	// The attributes of objects are files too: not every file system has extended
	// attributes.
	attributes := filepath.Join(home, "attributes")
	for _, dir := range []string{s.Dir, attributes} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range buckets {
		if err := os.Mkdir(filepath.Join(s.Dir, b), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	addr := child.FreeAddr(t)
	s.URL = "http://" + addr
	log, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the program has its own
	cmd := exec.Command(program, "--port", addr, "--region", Region, "posix", "--sidecar", attributes, s.Dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey}
	ended, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("stop the S3 service: %v", err)
		}
		<-ended
		if t.Failed() {
			b, _ := os.ReadFile(log.Name()) // there is nothing to say where it cannot be read
			t.Logf("the S3 service: %s", b)
		}
	})
	s.await(t, ended)
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	return s
}

// await returns when the service answers.
func (s *Server) await(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatal("the S3 service has ended at once: see its log")
		default:
		}
		res, err := http.Get(s.URL)
		if err == nil {
			_ = res.Body.Close() // without credentials it is a refusal
			return
		}
	}
	t.Fatalf("the S3 service did not answer at %s within %s", s.URL, patience)
}

// Bucket is the URL of a folder in a bucket, as --backup-url takes it.
func (s *Server) Bucket(name, folder string) string {
	q := url.Values{"region": {Region}, "use_path_style": {"true"}, "endpoint": {s.URL}}
	return "s3://" + name + "/" + folder + "?" + q.Encode()
}
