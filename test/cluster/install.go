package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"
)

// object is what installing needs to know of a manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Group    string
		Names    struct{ Plural string }
		Versions []struct {
			Name   string
			Served bool
		}
	}
	text string
}

// resources are the kinds that install knows.
var resources = map[string]string{
	"CustomResourceDefinition":         "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/",
	"ValidatingAdmissionPolicy":        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/",
	"ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/",
}

var separator = regexp.MustCompile(`(?m)^---\s*$`)

// install applies the manifests of a folder and waits until the resources that
// they define are served.
func (c *Cluster) install(ctx context.Context, dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return fmt.Errorf("install %q: %w", dir, err)
	}
	var objects []object
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("install: %w", err)
		}
		for _, doc := range separator.Split(string(text), -1) {
			o := object{text: doc}
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				return fmt.Errorf("install %q: %w", name, err)
			}
			switch {
			case o.Kind == "": // only comments
			case resources[o.Kind] == "" || o.Metadata.Name == "":
				return fmt.Errorf("install %q: want a named definition or admission policy, got kind %q", name, o.Kind)
			default:
				objects = append(objects, o)
			}
		}
	}
	if len(objects) == 0 {
		return fmt.Errorf("install: there is no manifest in %q", dir)
	}
	together, ctx := errgroup.WithContext(ctx)
	together.SetLimit(8)
	for _, o := range objects {
		together.Go(func() error { return c.installOne(ctx, o) })
	}
	return together.Wait()
}

func (c *Cluster) installOne(ctx context.Context, o object) error {
	path := resources[o.Kind] + o.Metadata.Name
	if err := c.do(ctx, http.MethodPatch, path+"?fieldManager=cluster&force=true", "application/apply-patch+yaml", []byte(o.text), nil); err != nil {
		return fmt.Errorf("install %s %q: %w", o.Kind, o.Metadata.Name, err)
	}
	if o.Kind != "CustomResourceDefinition" {
		return nil
	}
	return c.wait(ctx, "definition "+o.Metadata.Name, func(ctx context.Context) error {
		var crd struct {
			Status struct{ Conditions []condition }
		}
		if err := c.do(ctx, http.MethodGet, path, "", nil, &crd); err != nil {
			return err
		}
		if !holds(crd.Status.Conditions, "Established") {
			return errors.New("it is not established")
		}
		for _, v := range o.Spec.Versions {
			if !v.Served {
				continue
			}
			list := strings.Join([]string{"/apis", o.Spec.Group, v.Name, o.Spec.Names.Plural}, "/")
			if err := c.do(ctx, http.MethodGet, list+"?limit=1", "", nil, nil); err != nil {
				return err
			}
		}
		return nil
	})
}
