package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/progress"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// backupsFolder of the state directory has the backups, where no other place is
// named.
const backupsFolder = "backups"

// backupFlags say where the backups are, and who may read their Secrets.
type backupFlags struct {
	url        string
	identities []string
}

func (f *backupFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "backup-url", "", "where backups are: file:///FOLDER or s3://BUCKET[/PREFIX] (default: backups in the state directory)")
	f.addIdentity(cmd, "backup-identity")
}

func (f *backupFlags) addIdentity(cmd *cobra.Command, name string) {
	cmd.Flags().StringArrayVar(&f.identities, name, nil, "file with identities of age (AGE-SECRET-KEY-1...) that open the Secrets of backups; may be given several times")
}

// open opens the place of the backups.
func (f *backupFlags) open(ctx context.Context, stateDir string) (*backup.Store, error) {
	where := f.url
	if where == "" {
		if stateDir == "" {
			return nil, usageError("--backup-url or --state-dir is required: where the backups are")
		}
		dir, err := filepath.Abs(filepath.Join(stateDir, backupsFolder))
		if err != nil {
			return nil, fmt.Errorf("find the backups: %w", err)
		}
		where = (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
	}
	return backup.Open(ctx, where)
}

// keys reads the identities. Its errors hold nothing of the files.
func (f *backupFlags) keys() ([]age.Identity, error) {
	var out []age.Identity
	for _, path := range f.identities {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read identities %q: %w", path, plainCause(err))
		}
		ids, err := age.ParseIdentities(file)
		_ = file.Close()
		if err != nil {
			return nil, fmt.Errorf("read identities %q: want lines AGE-SECRET-KEY-1..., as age-keygen writes them", path)
		}
		out = append(out, ids...)
	}
	return out, nil
}

// backupQuery is what the subcommands of backup have in common.
type backupQuery struct {
	backupFlags
	kube      kubeFlags
	stateDir  *string
	namespace *string
	out       *outputFlag
}

func (a *app) backupQuery(cmd *cobra.Command, cluster bool) *backupQuery {
	q := &backupQuery{stateDir: a.addStateDir(cmd), namespace: addNamespace(cmd), out: addOutput(cmd, formatTable, formatJSON, formatYAML)}
	cmd.Flags().StringVar(&q.url, "backup-url", "", "where backups are: file:///FOLDER or s3://BUCKET[/PREFIX] (default: backups in the state directory)")
	if cluster {
		q.kube.add(cmd)
	}
	return q
}

// client of the cluster that the flags name. With dry nothing is ever written.
func (q *backupQuery) client(a *app, dry bool) (*client.Client, error) {
	if err := q.kube.check(); err != nil {
		return nil, err
	}
	cfg, err := q.kube.config()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{Config: cfg, QPS: q.kube.qps, Burst: q.kube.burst, UserAgent: "changeover/" + readBuild().Version, Now: a.now, DryRun: dry})
}

// bars shows stages of work, each with a bar of its own.
type bars struct {
	app   *app
	stage string
	bar   *progress.Bar
}

func (b *bars) show(stage string, c backup.Count) {
	if b.bar == nil || b.stage != stage {
		b.end()
		b.stage = stage
		b.bar = progress.New(progress.Options{Out: b.app.stderr, What: stage, Terminal: progress.Terminal(b.app.stderr, b.app.getenv), Now: b.app.now})
	}
	b.bar.Show(progress.Count{Total: c.Total, Done: c.Done, Failed: c.Failed})
}

func (b *bars) end() {
	if b.bar != nil {
		b.bar.End()
		b.bar = nil
	}
}
