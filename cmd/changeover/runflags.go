package main

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// runFlags are the daemon's.
type runFlags struct {
	sourceFlags
	sourcesFile                             string
	kube                                    kubeFlags
	lease                                   leaseFlags
	hook                                    hookFlags
	notify                                  notifyFlags
	flags                                   flagFlags
	backup                                  backupFlags
	forgeInterval                           time.Duration
	stateDir, prometheus                    string
	nginxDir, nginxConf, nginxBin, nginxURL string
	bridge                                  bridgeFlags
	entity                                  entityFlags
	listen, logFormat                       string
	interval, gitInterval, driftInterval    time.Duration
	gitMaxAge, cooldown, noDataAlert        time.Duration
	maxPerDay                               int
}

// daemonAuthor of the commits that the daemon makes.
const daemonAuthor = "Changeover <changeover@localhost>"

func (f *runFlags) add(cmd *cobra.Command, getenv func(string) string) {
	f.sourceFlags.add(cmd, getenv)
	f.kube.add(cmd)
	f.lease.add(cmd)
	f.hook.add(cmd)
	f.notify.add(cmd)
	f.backup.add(cmd)
	f.flags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.sourcesFile, "sources", "", "YAML file that lists several repositories or branches, in place of --repo")
	flags.DurationVar(&f.forgeInterval, "forge-interval", time.Minute, "how often the forge is asked for pull requests; a webhook has it asked at once")
	flags.StringVar(&f.stateDir, "state-dir", getenv("CHANGEOVER_STATE_DIR"), "folder for records and the admin socket (required; $CHANGEOVER_STATE_DIR)")
	flags.StringVar(&f.gitDir, "git-dir", "", "folder for the copy of the repository (default: git in the state directory)")
	flags.StringVar(&f.prometheus, "prometheus", "", "URL of the Prometheus that answers the gates' queries")
	flags.StringVar(&f.nginxDir, "nginx-dir", "", "folder that nginx includes files from; changeover in it is the daemon's")
	flags.StringVar(&f.nginxConf, "nginx-conf", "", "nginx's main configuration file, for nginx -t and reloads")
	flags.StringVar(&f.nginxBin, "nginx-bin", "nginx", "the nginx program")
	flags.StringVar(&f.nginxURL, "nginx-url", "http://127.0.0.1:80", "where nginx is asked which configuration it serves")
	f.bridge.add(cmd)
	f.entity.add(cmd)
	flags.StringVar(&f.listen, "listen", "127.0.0.1:9080", "address of the status page, /metrics, /healthz and /readyz; without a login, so mind who reaches it")
	flags.DurationVar(&f.interval, "interval", 15*time.Second, "how often gates are evaluated")
	flags.DurationVar(&f.gitInterval, "git-interval", 15*time.Second, "how often the branch is read")
	flags.DurationVar(&f.driftInterval, "drift-interval", time.Minute, "how often gateway and cluster are compared with what they should be")
	flags.DurationVar(&f.gitMaxAge, "git-max-age", 5*time.Minute, "nothing moves forward when Git was not read for this long")
	flags.DurationVar(&f.cooldown, "cooldown", 30*time.Minute, "least time between the lifting of a hold and the next forward move")
	flags.DurationVar(&f.noDataAlert, "no-data-alert", 10*time.Minute, "a person is paged when a gate of the stop in effect has had no data for this long")
	flags.IntVar(&f.maxPerDay, "max-per-day", 3, "automatic rollbacks of a plan in 24 h after which nothing moves forward until a person resumes it")
	flags.StringVar(&f.logFormat, "log-format", "json", "json or text")
}

// check finds what is wrong with the flags before anything is touched.
func (f *runFlags) check() error {
	if f.repo == "" && f.sourcesFile == "" {
		return errNoRepo
	}
	if f.stateDir == "" {
		return usageError("--state-dir is required: a folder of the daemon's own, which survives restarts")
	}
	for _, err := range []error{f.checkGateways(), f.kube.check(), f.lease.check(&f.kube), f.hook.check(), f.entity.check(), f.notify.check(), f.flags.check()} {
		if err != nil {
			return err
		}
	}
	if f.prometheus != "" {
		if err := checkURL("--prometheus", f.prometheus); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
		least time.Duration
	}{
		{"--interval", f.interval, 100 * time.Millisecond}, {"--git-interval", f.gitInterval, 100 * time.Millisecond},
		{"--drift-interval", f.driftInterval, 100 * time.Millisecond}, {"--git-max-age", f.gitMaxAge, f.gitInterval}, {"--cooldown", f.cooldown, 0},
		{"--no-data-alert", f.noDataAlert, f.interval}, {"--forge-interval", f.forgeInterval, 100 * time.Millisecond},
	} {
		if d.value < d.least {
			return usageError("%s %s is too short: want at least %s", d.flag, d.value, d.least)
		}
	}
	if f.maxPerDay < 1 {
		return usageError("--max-per-day %d is too small: want at least 1", f.maxPerDay)
	}
	if f.logFormat != "json" && f.logFormat != "text" {
		return usageError("--log-format %q: want json or text", f.logFormat)
	}
	return checkAddress("--listen", f.listen)
}

func (f *runFlags) checkGateways() error {
	if (f.nginxDir == "") != (f.nginxConf == "") {
		return usageError("--nginx-dir and --nginx-conf go together: the folder for the files, and the configuration that includes them")
	}
	if f.nginxDir != "" {
		if err := checkURL("--nginx-url", f.nginxURL); err != nil {
			return err
		}
	}
	return f.bridge.check(&f.kube)
}

// checkURL does not repeat the URL: it may hold a password.
func checkURL(flag, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usageError("%s: want http://HOST:PORT or https://HOST:PORT", flag)
	}
	return nil
}

func checkAddress(flag, s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		var n int
		if n, err = strconv.Atoi(port); err == nil && (n < 0 || n > 65535) {
			err = fmt.Errorf("port %d", n)
		}
	}
	if err != nil {
		return usageError("%s %q: want HOST:PORT, such as 127.0.0.1:9080", flag, s)
	}
	return nil
}
