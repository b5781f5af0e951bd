package inventory_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/test/child"
)

const mariaSecret = "s3cret-of-maria"

// mariaDB runs a server with a table of 2500 rows until the test ends, and returns
// its DSN.
func mariaDB(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	setup := filepath.Join(dir, "setup.sql")
	if err := os.WriteFile(setup, []byte("CREATE DATABASE so;\n"+
		"CREATE TABLE so.deployments (id bigint PRIMARY KEY, name varchar(50), size decimal(10,0), load_ double, at datetime, status varchar(20));\n"+
		"INSERT INTO so.deployments SELECT seq, CONCAT('vFW ', seq), seq * 10, 0.5, '2026-11-01 10:00:00', 'Active' FROM so.seq_1_to_2500;\n"+
		"CREATE USER reader@'%' IDENTIFIED BY '"+mariaSecret+"';\nGRANT ALL ON so.* TO reader@'%';\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	install := exec.CommandContext(t.Context(), "mariadb-install-db", "--no-defaults", "--datadir="+data, "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("these tests need MariaDB: run make deps: %v\n%s", err, out)
	}
	addr := child.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	server := "mariadbd"
	if _, err := exec.LookPath(server); err != nil {
		server = "/usr/sbin/mariadbd" // not in everybody's PATH
	}
	cmd := exec.CommandContext(t.Context(), server, "--no-defaults", "--datadir="+data, "--user=root", "--bind-address=127.0.0.1", "--port="+port,
		"--socket="+filepath.Join(dir, "s"), "--skip-log-bin", "--init-file="+setup, "--pid-file="+filepath.Join(dir, "pid"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	ended, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		_ = log.Close()
	})
	dsn := fmt.Sprintf("reader:%s@tcp(%s)/so", mariaSecret, addr)
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, _, err := list(t, byQuery(t, plan.MySQL, dsn, "SELECT 1 AS id", "10s"))
		if err == nil {
			return dsn
		}
		if time.Now().After(deadline) {
			b, _ := os.ReadFile(log.Name())
			t.Fatalf("MariaDB does not answer: %v\n%s", err, b)
		}
	}
}

func TestRowsOfMariaDBAreItems(t *testing.T) {
	dsn := mariaDB(t)
	n := 0
	err := byQuery(t, plan.MySQL, dsn, "SELECT id, name, size, load_, at, status FROM deployments ORDER BY id", "1m").List(t.Context(), func(it inventory.Item) error {
		n++
		v := it.Value
		if n == 2 && (it.ID != "2" || it.Bad != "" || v["id"] != int64(2) || v["name"] != "vFW 2" || v["size"] != int64(20) || v["load_"] != 0.5 ||
			v["at"] != "2026-11-01T10:00:00Z" || v["status"] != "Active") {
			t.Errorf("row 2 is %#v", it)
		}
		return nil
	})
	if n != 2500 || err != nil {
		t.Errorf("%d rows, error %v", n, err)
	}
	for query, want := range map[string]string{
		"DELETE FROM deployments":                 "READ ONLY transaction",
		"UPDATE deployments SET name = ''":        "READ ONLY transaction",
		"SELECT 1 AS id; DELETE FROM deployments": "error in your SQL syntax",
		"SELECT id FROM nowhere":                  "doesn't exist",
		"SELECT id, id FROM deployments":          "two columns are named",
		"SELECT SLEEP(30) AS id FROM deployments": "",
	} {
		timeout := "1m"
		if strings.Contains(query, "SLEEP") {
			timeout = "300ms"
		}
		began := time.Now()
		_, _, err := list(t, byQuery(t, plan.MySQL, dsn, query, timeout))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), mariaSecret) || time.Since(began) > 25*time.Second {
			t.Errorf("%s: error %v after %s, want %q", query, err, time.Since(began), want)
		}
	}
	if ids, _, err := list(t, byQuery(t, plan.MySQL, dsn, "SELECT id FROM deployments WHERE name <> ''", "1m")); len(ids) != 2500 || err != nil {
		t.Errorf("%d rows are left, error %v", len(ids), err)
	}
}
