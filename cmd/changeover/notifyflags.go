package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/receivers"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/notify"
	"github.com/changeover-dev/changeover/reconciler/notify/send"
)

// notifyFlags are those of who is told.
type notifyFlags struct {
	file      string
	receivers []send.Receiver
}

func (f *notifyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "notify", "", "YAML file of receivers that are told: Alertmanager, Slack, webhooks; plans name them in spec.notifications")
}

// check reads the file, so that what is wrong in it is known before anything
// starts.
func (f *notifyFlags) check() error {
	if f.file == "" {
		return nil
	}
	src, err := readBounded(f.file)
	if err != nil {
		return usageError("--notify: %w", err)
	}
	if len(src) > maxPlanFile {
		return usageError("--notify: %q is larger than %d bytes", f.file, maxPlanFile)
	}
	var problems []plan.Problem
	if f.receivers, problems = receivers.Read(f.file, src); len(problems) == 0 {
		return nil
	}
	var b strings.Builder
	for _, p := range problems {
		b.WriteString("\n" + strings.TrimRight(p.Render(), "\n"))
	}
	return usageError("--notify: the file cannot be taken:%s", b.String())
}

// wireNotify adds the receivers to who is told, and warns of plans that name
// others.
func (w *wired) wireNotify() error {
	d, o := w.daemon, &w.common
	rs := d.flags.notify.receivers
	inner := o.Check
	o.Check = func(doc *plan.Document) []plan.Problem { return append(inner(doc), receivers.Check(doc, rs)...) }
	if len(rs) == 0 {
		return nil
	}
	s, err := send.New(send.Options{Receivers: rs, Statuses: d.plans.Statuses, Now: d.now, Log: d.log, Registerer: d.metrics})
	if err != nil {
		return err
	}
	o.Notifier = notify.All{o.Notifier, s}
	w.beside = append(w.beside, s.Run)
	return nil
}
