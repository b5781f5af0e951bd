// Command evaluator is flagd's own evaluator behind a pipe: it reads a file of flag
// definitions, and for each line of stdin, `FLAG KEY`, writes the variant that the
// caller with that key gets. It is a module of its own, so that what flagd needs
// is not what Changeover needs.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "evaluator:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one file of flag definitions, got %d arguments", len(args))
	}
	flags, err := os.ReadFile(args[0])
	if err != nil {
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
	in, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	for in.Scan() {
		flag, key, _ := strings.Cut(in.Text(), " ")
		_, variant, _, _, err := e.ResolveStringValue(context.Background(), "", flag, map[string]any{"targetingKey": key})
		if err != nil {
			return fmt.Errorf("flag %s, caller %q: %w", flag, key, err)
		}
		fmt.Fprintln(out, variant)
	}
	if err := in.Err(); err != nil {
		return err
	}
	return out.Flush()
}
