package main

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/plantest"
	"github.com/changeover-dev/changeover/plan"
)

const formatJUnit = "junit"

// testResult is one test as `test -o json` prints it.
type testResult struct {
	File     string             `json:"file"`
	Line     int                `json:"line"`
	Name     string             `json:"name"`
	OK       bool               `json:"ok"`
	Failures []plantest.Failure `json:"failures,omitempty"`
	Error    string             `json:"error,omitempty"`
}

// testReport is what `test -o json` prints.
type testReport struct {
	Tests    []testResult   `json:"tests"`
	Problems []plan.Problem `json:"problems"`
}

// testHelp tells the whole form of a test file.
const testHelp = `Run the tests in the files named, and in the *_test.yaml files below the folders named. They need neither a
daemon nor a Prometheus: series are written in promtool's notation, PromQL is evaluated by Prometheus's own
engine, and gates and decisions are those of the daemon.

  plan: shop.yaml                   # beside this file
  evaluation_interval: 15s          # of the daemon; default 15s
  start: 2026-12-01T09:00:00Z       # default 1970-01-01T00:00:00Z, as promtool's
  others: [platform.yaml]           # plans that it depends on, conflicts with, or reads in gates
  tests:
    - name: errors take it back
      effective: gradual@10         # where it is when the test begins, just entered; none: not even at the first stop
      position: gradual@50          # what is declared then; each is by default the other, or what the plan says
      interval: 1m                  # between the samples of the series; default 1m
      input_series:
        - {series: 'requests_total{code="200"}', values: 0+60x20}
      objects: {web: {status: {availableReplicas: 2}}}
      author: dana@example.com      # of the commits; default unknown, and then no approval counts
      commits:
        - {at: 10m, position: gradual@100}               # raised, or lowered
        - {at: 20m, plan: shop-v2.yaml}                  # what the plan's file holds from then on
        - {at: 30m, unhold: true, author: ben@example.com}   # lifts the newest hold; resume: true ends a halt
      approvals:                    # of what is declared then; without the list gates that read them have no data
        - {at: 11m, stop: gradual@25, role: operations, by: ann@example.com}   # item: TEXT ticks the checklist
      others:                       # unknown: true, and before it is told, nothing is known of it
        - {at: 0s, plan: platform, position: gradual@50, state: Steady}        # complete: true
      expect:
        - at: 12m
          gates: {few-errors: Pass, rollback/many-errors: Fail}
          decision: Hold Baking     # or the verb alone
          position: gradual@10
          declared: gradual@100

Moves are done at once, reverts are on the branch at once, and what a plan requires of the cluster is there. Gates
are as they were read before a move at that time; each decision of that time counts. For pause and rollback gates
Pass means that the expression is true. Exit 0: all as expected. 1: not.`

func (a *app) testCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Test plans: what gates and decisions are over given series",
		Long:  testHelp,
		Example: `  changeover test plans/
  changeover test plans/shop_test.yaml --run 'errors'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("FILE is missing: name test files, or folders with *_test.yaml files")
			}
			return nil
		},
	}
	out := addOutput(cmd, formatTable, formatJSON, formatYAML, formatJUnit)
	pattern := cmd.Flags().String("run", "", "run only the tests whose FILE: NAME matches this regular expression")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		only, err := regexp.Compile(*pattern)
		if err != nil {
			return usageError("read --run: %w", err)
		}
		files, err := testFiles(args)
		if err != nil {
			return err
		}
		r := testReport{Tests: []testResult{}, Problems: []plan.Problem{}}
		for _, name := range files {
			if err := r.runFile(ctx, name, only); err != nil {
				return err
			}
		}
		return a.reportTests(r, out)
	})
	return cmd
}

// testFiles are the files named, and those below the folders named.
func testFiles(args []string) (files []string, err error) {
	for _, arg := range args {
		fi, err := os.Stat(arg)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", arg, plainCause(err))
		}
		if !fi.IsDir() {
			files = append(files, arg)
			continue
		}
		before := len(files)
		err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return fmt.Errorf("read %q: %w", path, plainCause(err))
			case d.IsDir() && path != arg && strings.HasPrefix(d.Name(), "."):
				return filepath.SkipDir
			case d.Type().IsRegular() && (strings.HasSuffix(path, "_test.yaml") || strings.HasSuffix(path, "_test.yml")):
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, finding("find tests in %q: there is no *_test.yaml file", arg)
		}
	}
	return files, nil
}

// runFile runs the tests of one file. The error says that it could not be read.
func (r *testReport) runFile(ctx context.Context, name string, only *regexp.Regexp) error {
	src, err := readBounded(name)
	if err != nil {
		return err
	}
	f, problems := plantest.Decode(name, src)
	if r.Problems = append(r.Problems, problems...); len(problems) > 0 {
		return nil
	}
	doc, ok, err := r.readPlan(name, f.Plan)
	if err != nil || !ok {
		return err
	}
	plans := map[string]*plan.Plan{}
	for _, file := range f.Files() {
		other, ok, err := r.readPlan(name, file)
		if err != nil || !ok {
			return err
		}
		plans[file] = other.Plan
	}
	problems = f.Resolve(doc.Plan, src, plans)
	if r.Problems = append(r.Problems, problems...); len(problems) > 0 {
		return nil
	}
	v := plan.Version{Plan: doc.Plan, Path: doc.File, Content: plan.ContentDigest(doc.Plan), Live: plan.LiveDigest(doc.Plan)}
	for _, t := range f.Tests {
		if !only.MatchString(name + ": " + t.Name) {
			continue
		}
		failures, err := f.Run(ctx, v, t)
		res := testResult{File: name, Line: t.Line, Name: t.Name, OK: err == nil && len(failures) == 0, Failures: failures}
		if err != nil {
			res.Error = err.Error()
		}
		r.Tests = append(r.Tests, res)
	}
	return nil
}

// readPlan reads a plan that a test file names. It is not ok where the plan has
// errors, which are reported.
func (r *testReport) readPlan(testFile, name string) (doc *plan.Document, ok bool, err error) {
	file := name
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(testFile), filepath.FromSlash(file))
	}
	src, err := readBounded(file)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", testFile, err)
	}
	doc, problems := plan.Decode(file, src)
	problems = append(problems, check(doc)...)
	if plan.HasErrors(problems) {
		r.Problems = append(r.Problems, problems...)
		return doc, false, nil
	}
	return doc, true, nil
}

func (r *testReport) failed() (n int) {
	for _, t := range r.Tests {
		if !t.OK {
			n++
		}
	}
	return n
}

func (a *app) reportTests(r testReport, out *outputFlag) error {
	switch {
	case out.value == formatJUnit:
		if err := r.junit(a); err != nil {
			return err
		}
	case out.structured():
		if err := out.write(a.stdout, r); err != nil {
			return err
		}
	default:
		a.printTests(r)
	}
	switch {
	case r.failed() > 0 || plan.HasErrors(r.Problems):
		return errFindings
	case len(r.Tests) == 0:
		return finding("run tests: --run matches none")
	}
	return nil
}

func (a *app) printTests(r testReport) {
	for _, p := range r.Problems {
		a.printf("%s", a.renderProblem(p))
	}
	for _, t := range r.Tests {
		if t.OK {
			a.printf("%s   %s: %s\n", a.paint(green, "ok"), printable(t.File), printable(t.Name))
			continue
		}
		a.printf("%s %s:%d: %s\n", a.paint(red, "FAIL"), printable(t.File), t.Line, printable(t.Name))
		for _, f := range t.Failures {
			a.printf("     %s:%d:%d: %s\n", printable(t.File), f.Line, f.Column, printable(f.String()))
		}
		if t.Error != "" {
			a.printf("     %s\n", printable(t.Error))
		}
	}
	if n := r.failed(); len(r.Tests) > 0 {
		a.printf("%s: %d ok, %d failed\n", count(len(r.Tests), "test"), len(r.Tests)-n, n)
	}
}

// The elements of JUnit's XML that CI systems read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name     string         `xml:"name,attr"`
		Class    string         `xml:"classname,attr"`
		File     string         `xml:"file,attr"`
		Line     int            `xml:"line,attr"`
		Failures []junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit writes the report as JUnit's XML. A problem of a file is a failed test.
func (r *testReport) junit(a *app) error {
	s := junitSuite{Name: "changeover test", Tests: len(r.Tests), Failures: r.failed()}
	for _, t := range r.Tests {
		c := junitCase{Name: cmp.Or(t.Name, fmt.Sprintf("line %d", t.Line)), Class: t.File, File: t.File, Line: t.Line}
		for _, f := range t.Failures {
			c.Failures = append(c.Failures, junitFailure{f.String(), fmt.Sprintf("%s:%d:%d: %s", t.File, f.Line, f.Column, f)})
		}
		if t.Error != "" {
			c.Failures = append(c.Failures, junitFailure{t.Error, t.Error})
		}
		s.Cases = append(s.Cases, c)
	}
	for _, p := range r.Problems {
		s.Tests++
		s.Failures++
		s.Cases = append(s.Cases, junitCase{Name: p.Code, Class: p.File, File: p.File, Line: p.Line, Failures: []junitFailure{{p.Message, p.Render()}}})
	}
	b, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{s}}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	a.printf("%s%s\n", xml.Header, b)
	return nil
}
