package nginx

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	render "github.com/changeover-dev/changeover/render/nginx"
)

// alone is a main config that includes nothing but the files of one stop. All
// that nginx makes for a test is made in the folder %[1]s.
const alone = `error_log stderr;
pid "%[1]s/nginx.pid";
events {}
http {
    access_log off;
    client_body_temp_path "%[1]s/body";
    proxy_temp_path "%[1]s/proxy";
    fastcgi_temp_path "%[1]s/fastcgi";
    uwsgi_temp_path "%[1]s/uwsgi";
    scgi_temp_path "%[1]s/scgi";
    include "%[1]s/*.upstreams.conf";
    include "%[1]s/*.maps.conf";
    server {
        listen "unix:%[1]s/s";
        include "%[1]s/*.locations.conf";
    }
}
`

// Rehearse lets nginx test the files of one stop by themselves, in a folder that
// is removed afterwards: no nginx that runs, and no file of one, is touched. Bin
// is the program. What hangs on the rest of its config (a `location /` that is
// there twice, the sizes of hashes) is not found.
func Rehearse(ctx context.Context, bin string, f render.Files) error {
	dir, err := os.MkdirTemp("", "changeover-nginx-")
	if err != nil {
		return fmt.Errorf("make a folder for the test: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files := map[string][]byte{"nginx.conf": fmt.Appendf(nil, alone, dir)}
	for _, part := range parts {
		files[fileName("rehearsal", part)] = partOf(f, part)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return fmt.Errorf("write the files for the test: %w", err)
		}
	}
	_, err = process{bin: bin, conf: filepath.Join(dir, "nginx.conf")}.test(ctx)
	return err
}
