// Command client is an application with the OpenFeature SDK and its provider for
// OFREP. It reads lines of stdin, each a context as JSON, asks a server for flags,
// and writes for each context a line: a JSON list of what its caller gets of the
// flags that are named after the server's URL. A flag whose name ends in `.text` is
// asked for as a text, any other as a truth value. It is a module of its own, so
// that what it needs is not what Changeover needs.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// answer is what a caller gets of one flag.
type answer struct {
	Variant  string         `json:"variant"`
	Value    any            `json:"value"`
	Reason   string         `json:"reason"`
	Metadata map[string]any `json:"metadata"`
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("want the URL of a server and the names of flags, got %d arguments", len(args))
	}
	if err := openfeature.SetProviderAndWait(ofrep.NewProvider(args[0])); err != nil {
		return err
	}
	client := openfeature.NewClient("test")
	in, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	in.Buffer(nil, 1<<20)
	answers := json.NewEncoder(out)
	for in.Scan() {
		var attributes map[string]any
		if err := json.Unmarshal(in.Bytes(), &attributes); err != nil {
			return fmt.Errorf("read the context %s: %w", in.Text(), err)
		}
		key, _ := attributes["targetingKey"].(string)
		delete(attributes, "targetingKey")
		evaluation := openfeature.NewEvaluationContext(key, attributes)
		var all []answer
		for _, name := range args[1:] {
			a, err := ask(client, name, evaluation)
			if err != nil {
				return fmt.Errorf("flag %s, context %s: %w", name, in.Text(), err)
			}
			all = append(all, a)
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

func ask(client *openfeature.Client, name string, evaluation openfeature.EvaluationContext) (answer, error) {
	if strings.HasSuffix(name, ".text") {
		d, err := client.StringValueDetails(context.Background(), name, "the code's default", evaluation)
		return answer{Variant: d.Variant, Value: d.Value, Reason: string(d.Reason), Metadata: d.FlagMetadata}, err
	}
	d, err := client.BooleanValueDetails(context.Background(), name, false, evaluation)
	return answer{Variant: d.Variant, Value: d.Value, Reason: string(d.Reason), Metadata: d.FlagMetadata}, err
}
