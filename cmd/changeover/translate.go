package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/translate"
)

// exampleExchange is what `translate` reads.
type exampleExchange struct {
	Request  *exampleRequest `json:"request"`
	Response *exampleAnswer  `json:"response,omitempty"`
}

// exampleRequest is a request, given or made.
type exampleRequest struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   map[string]string `json:"query,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// exampleAnswer is an answer, given or made.
type exampleAnswer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

func (a *app) translateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "translate FILE",
		Short: "Try a translation of a plan on a request, and on an answer",
		Long: `Read a request to legacy, and if there is one modern's answer, as JSON from standard input, and print what the
translation makes of them: the request that modern gets, and the answer that the caller gets. Nothing is sent.

  {"request":  {"method": "POST", "path": "/v2/orders", "query": {}, "headers": {}, "body": {"name": "a"}},
   "response": {"status": 201, "headers": {}, "body": {"id": "7"}}}

What the translation does not name stays as it is. Where it fails, the expression is shown in the plan's file.
Exit codes: 0 translated, 1 the plan is not valid or the translation fails, 2 wrong use or no such JSON.`,
		Example: "  changeover translate plans/onap-so.yaml --translation create < request.json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("one FILE is wanted, the plan's, not %d arguments", len(args))
			}
			return nil
		},
	}
	name := cmd.Flags().String("translation", "", "name in spec.translations; may be left out where there is one")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		if args[0] == "-" {
			return usageError("the plan is a file: standard input has the request")
		}
		doc, err := a.validPlan(args[0])
		if err != nil {
			return err
		}
		chosen, err := chooseTranslation(doc.Plan, *name)
		if err != nil {
			return err
		}
		in, err := readExchange(a.stdin)
		if err != nil {
			return err
		}
		out, err := translateExchange(ctx, chosen, doc.Plan.Spec.Translations[chosen], in)
		var failed *translate.Failure
		if errors.As(err, &failed) {
			a.note("%s", a.renderProblem(doc.Problem("spec.translations."+failed.Translation+"."+failed.Field, 0, "translation", failed.Error(), "")))
			return errFindings
		}
		if err != nil {
			return finding("%w", err)
		}
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(out)
	})
	return cmd
}

// validPlan reads the one plan of a file.
func (a *app) validPlan(file string) (*plan.Document, error) {
	f := a.readPlans([]string{file})
	if len(f.failed) > 0 {
		return nil, f.failed[0]
	}
	if plan.HasErrors(f.problems) {
		for _, p := range f.problems {
			a.note("%s", a.renderProblem(p))
		}
		return nil, finding("%q does not validate", file)
	}
	if len(f.docs) != 1 {
		return nil, usageError("%q has %d plans: name the file of one", file, len(f.docs))
	}
	return f.docs[0], nil
}

func chooseTranslation(p *plan.Plan, name string) (string, error) {
	names := slices.Sorted(maps.Keys(p.Spec.Translations))
	switch {
	case len(names) == 0:
		return "", usageError("plan %q has no translations", p.Key())
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return "", usageError("--translation is missing: the plan has %s", strings.Join(names, ", "))
	case !slices.Contains(names, name):
		return "", usageError("--translation %q: want one of %s", name, strings.Join(names, ", "))
	}
	return name, nil
}

// maxExchange bounds what is read: two bodies of the largest size, and the rest.
const maxExchange = 33 << 20

func readExchange(r io.Reader) (in exampleExchange, err error) {
	src, err := io.ReadAll(io.LimitReader(r, maxExchange+1))
	if err != nil {
		return in, fmt.Errorf("read standard input: %w", err)
	}
	if len(src) > maxExchange {
		return in, usageError("standard input has more than %d bytes", maxExchange)
	}
	dec := json.NewDecoder(strings.NewReader(string(src)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, usageError("%s", jsonFault(src, dec.InputOffset(), err))
	}
	if dec.More() {
		return in, usageError("%s", jsonFault(src, dec.InputOffset(), errors.New("more than one JSON value")))
	}
	switch {
	case in.Request == nil:
		return in, usageError(`standard input has no "request": see the form in --help`)
	case !strings.HasPrefix(in.Request.Path, "/") || strings.ContainsAny(in.Request.Path, "?#"):
		return in, usageError("request.path %q: want a path that begins with /, the query in request.query", in.Request.Path)
	}
	return in, nil
}

// jsonFault shows where standard input is not what is wanted.
func jsonFault(src []byte, offset int64, err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = max(syntax.Offset-1, 0)
	case errors.As(err, &kind):
		offset = max(kind.Offset-1, 0)
	case errors.Is(err, io.EOF):
		return "standard input is empty: want a request as JSON, see --help"
	}
	before := string(src[:min(int(offset), len(src))])
	line, column := strings.Count(before, "\n")+1, len(before)-strings.LastIndexByte(before, '\n')
	text, _, _ := strings.Cut(string(src[len(before)-column+1:]), "\n")
	caret := ""
	const most = 200 // of a longer line nobody sees the caret
	if len(text) <= most {
		caret = fmt.Sprintf("\n | %s\n | %s^", text, strings.Repeat(" ", column-1))
	}
	return fmt.Sprintf("%s:%d:%d: %s%s", stdinName, line, column, strings.TrimPrefix(err.Error(), "json: "), caret)
}

// translateExchange does what the bridge does to a request and to its answer.
func translateExchange(ctx context.Context, name string, t plan.Translation, in exampleExchange) (out exampleExchange, err error) {
	tr, err := translate.Compile(name, t)
	if err != nil {
		return out, err
	}
	request, err := requestOf(in.Request)
	if err != nil {
		return out, err
	}
	bounded, cancel := context.WithTimeout(ctx, translate.MaxTime)
	defer cancel()
	change, err := tr.Request(bounded, request)
	if err != nil {
		return out, err
	}
	out.Request = changedRequest(*in.Request, change)
	if in.Response == nil {
		return out, nil
	}
	answer := &translate.Response{Status: in.Response.Status, Headers: lower(in.Response.Headers), Hidden: in.Request.Method == http.MethodHead}
	if answer.Body, err = decoded("response.body", in.Response.Body); err != nil {
		return out, err
	}
	bounded, end := context.WithTimeout(ctx, translate.MaxTime)
	defer end()
	back, err := tr.Response(bounded, request, answer)
	if err != nil {
		return out, err
	}
	out.Response = changedAnswer(*in.Response, back)
	return out, nil
}

func requestOf(r *exampleRequest) (out *translate.Request, err error) {
	out = &translate.Request{Method: r.Method, Path: r.Path, Query: r.Query, Headers: lower(r.Headers)}
	if path := strings.Trim(r.Path, "/"); path != "" {
		out.Segments = strings.Split(path, "/")
	}
	if out.Query == nil {
		out.Query = map[string]string{}
	}
	out.Body, err = decoded("request.body", r.Body)
	return out, err
}

// decoded is a body as expressions read it; none is null.
func decoded(field string, body json.RawMessage) (any, error) {
	if len(body) == 0 {
		return nil, nil
	}
	v, err := translate.Decode(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return v, nil
}

// lower has the names of headers in lower case, as expressions read them.
func lower(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, value := range headers {
		out[strings.ToLower(name)] = value
	}
	return out
}

func changedRequest(r exampleRequest, c translate.RequestChange) *exampleRequest {
	if c.Method != "" {
		r.Method = c.Method
	}
	if c.Path != "" {
		if plain, err := url.PathUnescape(c.Path); err == nil {
			r.Path = plain
		}
	}
	r.Query, r.Headers = changedSets(r.Query, c.Query), changedSets(lower(r.Headers), c.Header)
	if c.SetsBody {
		r.Body = c.Body
	}
	return &r
}

func changedAnswer(a exampleAnswer, c translate.ResponseChange) *exampleAnswer {
	if c.Status != 0 {
		a.Status = c.Status
	}
	a.Headers = changedSets(lower(a.Headers), c.Header)
	if c.SetsBody {
		a.Body = c.Body
	}
	return &a
}

// changedSets are headers or parameters with those that are set; several values of
// one are joined by commas.
func changedSets(old map[string]string, sets []translate.Set) map[string]string {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	for _, s := range sets {
		if len(s.Values) == 0 {
			delete(out, s.Name)
			delete(out, strings.ToLower(s.Name))
			continue
		}
		delete(out, strings.ToLower(s.Name))
		out[s.Name] = strings.Join(s.Values, ", ")
	}
	return out
}
