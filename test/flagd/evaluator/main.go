// Command evaluator is flagd's own evaluator behind a pipe. It reads a file of flag
// definitions, which must fit flagd's schema, and then lines of stdin, each a context
// as JSON; for each it writes a line, a JSON list of what its caller gets of the flags
// that are named after the file. It is a module of its own, so that
// what flagd needs is not what Changeover needs.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	schema "github.com/open-feature/flagd-schemas/json"
	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/zap"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "evaluator:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("want a file of flag definitions and the names of flags, got %d arguments", len(args))
	}
	flags, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	if err := fits(flags); err != nil {
		return err
	}
	log := logger.NewLogger(zap.NewNop(), false)
	state, err := store.NewStore(log, []string{"file"})
	if err != nil {
		return err
	}
	e := evaluator.NewJSON(log, state)
	if err := e.SetState(sync.DataSync{FlagData: string(flags), Source: "file"}); err != nil {
		return err
	}
	names := args[1:]
	in, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	in.Buffer(nil, 1<<20)
	answers := json.NewEncoder(out)
	for in.Scan() {
		var evaluation map[string]any
		if err := json.Unmarshal(in.Bytes(), &evaluation); err != nil {
			return fmt.Errorf("read the context %s: %w", in.Text(), err)
		}
		all := make([]answer, len(names))
		for i, name := range names {
			a := e.ResolveAsAnyValue(context.Background(), "", name, evaluation)
			if a.Error != nil {
				return fmt.Errorf("flag %s, context %s: %w", name, in.Text(), a.Error)
			}
			all[i] = answer{Variant: a.Variant, Value: a.Value, Reason: a.Reason, Metadata: a.Metadata}
		}
		if err := answers.Encode(all); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return out.Flush()
}

// answer is what a caller gets of one flag.
type answer struct {
	Variant  string         `json:"variant"`
	Value    any            `json:"value"`
	Reason   string         `json:"reason"`
	Metadata map[string]any `json:"metadata"`
}

// fits checks the definitions by flagd's schema, of which flagd itself only warns.
func fits(flags []byte) error {
	c := jsonschema.NewCompiler()
	for name, text := range map[string]string{"flagd": schema.FlagdSchema, "flags": schema.FlagSchema, "targeting": schema.TargetingSchema} {
		resource, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err == nil {
			err = c.AddResource("https://flagd.dev/schema/v0/"+name+".json", resource)
		}
		if err != nil {
			return fmt.Errorf("read flagd's schema %s: %w", name, err)
		}
	}
	s, err := c.Compile("https://flagd.dev/schema/v0/flagd.json")
	if err != nil {
		return fmt.Errorf("compile flagd's schema: %w", err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(flags))
	if err != nil {
		return fmt.Errorf("read the definitions: %w", err)
	}
	if err := s.Validate(instance); err != nil {
		return fmt.Errorf("the definitions do not fit flagd's schema: %w", err)
	}
	return nil
}
