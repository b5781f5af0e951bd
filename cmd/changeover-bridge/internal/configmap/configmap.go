// Package configmap reads and watches the bridge's config in a ConfigMap. It
// asks for that one object alone, so that an account needs no right to others,
// and connects again whenever the API server was away.
package configmap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/changeover-dev/changeover/render/bridge"
)

const (
	// callTimeout is how long an answer, or the beginning of a watch, may take.
	callTimeout = 10 * time.Second
	// A watch ends after between one and two of these, so that one whose
	// connection is dead without a word is not kept for long.
	watchTimeout = 2 * time.Minute
	// stable is how long a watch must last for the next to follow at once.
	stable = 10 * time.Second
)

// Source is the config in one ConfigMap. It implements follow.Source.
type Source struct {
	namespace, name string
	maps            dynamic.ResourceInterface
}

// Config is how the API server is reached: by a kubeconfig file, or, where that
// is empty, by the account of the pod.
func Config(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("load the pod's own configuration: %w; outside of a pod give --kubeconfig", err)
		}
		return cfg, nil
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("load --kubeconfig: %w", err)
	}
	return cfg, nil
}

// New makes no call.
func New(cfg *rest.Config, namespace, name string) (*Source, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = "changeover-bridge"
	cfg.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	maps := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(namespace)
	return &Source{namespace: namespace, name: name, maps: maps}, nil
}

// String names the ConfigMap.
func (s *Source) String() string { return fmt.Sprintf("ConfigMap %q", s.namespace+"/"+s.name) }

// Read reads the ConfigMap.
func (s *Source) Read(ctx context.Context) ([]byte, error) {
	src, _, err := s.list(ctx)
	return src, err
}

// Watch looks at the ConfigMap and at every change of it. While it cannot, it
// tries again after 0.1 s, then after twice as long each time, up to 10 s.
func (s *Source) Watch(ctx context.Context, look func([]byte, error)) {
	backoff := newBackoff()
	for ctx.Err() == nil {
		began := time.Now()
		s.follow(ctx, look)
		if time.Since(began) >= stable {
			backoff = newBackoff()
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Step()):
		}
	}
}

func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 100, Cap: 10 * time.Second}
}

// follow reads once, and then watches until the watch ends.
func (s *Source) follow(ctx context.Context, look func([]byte, error)) {
	src, version, err := s.list(ctx)
	if ctx.Err() != nil {
		return
	}
	look(src, err)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	events, stop, err := s.watch(ctx, version)
	if err != nil {
		if ctx.Err() == nil {
			look(nil, s.failed("watched", err))
		}
		return
	}
	defer stop()
	for e := range events {
		o, ok := e.Object.(*unstructured.Unstructured)
		switch e.Type {
		case watch.Added, watch.Modified:
			if ok {
				look(s.content(o))
			}
		case watch.Deleted:
			look(nil, s.missing("does not exist"))
		case watch.Error: // as when the version is too old: list again
			return
		}
	}
}

// watch begins a watch after a version.
func (s *Source) watch(ctx context.Context, version string) (<-chan watch.Event, func(), error) {
	lasts := watchTimeout + rand.N(watchTimeout)
	seconds := int64(lasts / time.Second)
	// The server ends it; where it does not, the context does.
	ctx, cancel := context.WithTimeout(ctx, lasts+callTimeout)
	begun := time.AfterFunc(callTimeout, cancel)
	w, err := s.maps.Watch(ctx, metav1.ListOptions{FieldSelector: s.selector(), ResourceVersion: version, TimeoutSeconds: &seconds})
	if !begun.Stop() && err == nil {
		w.Stop()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return w.ResultChan(), func() { w.Stop(); cancel() }, nil
}

// list reads the ConfigMap by a list of one, which needs the same right as the
// watch does, and returns the version to watch from.
func (s *Source) list(ctx context.Context) (src []byte, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := s.maps.List(ctx, metav1.ListOptions{FieldSelector: s.selector()})
	if err != nil {
		return nil, "", s.failed("read", err)
	}
	if len(list.Items) == 0 {
		return nil, list.GetResourceVersion(), s.missing("does not exist")
	}
	src, err = s.content(&list.Items[0])
	return src, list.GetResourceVersion(), err
}

func (s *Source) selector() string {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, s.name).String()
}

// content is the config in an object.
func (s *Source) content(o *unstructured.Unstructured) ([]byte, error) {
	text, found, err := unstructured.NestedString(o.Object, "data", bridge.ConfigMapKey)
	if err != nil || !found {
		return nil, s.missing(fmt.Sprintf("has no key %q", bridge.ConfigMapKey))
	}
	return []byte(text[:min(len(text), bridge.MaxBytes+1)]), nil
}

func (s *Source) missing(how string) error {
	return fmt.Errorf("read config: %s %s: %w", s, how, fs.ErrNotExist)
}

// failed says why there was no answer, without ports that change from one
// question to the next.
func (s *Source) failed(what string, err error) error {
	var status apierrors.APIStatus
	var wrapped *url.Error
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &status):
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("read config: %s cannot be %s: the API server does not answer in time", s, what)
	case errors.As(err, &op):
		return fmt.Errorf("read config: %s cannot be %s: the API server cannot be reached: %s: %w", s, what, op.Op, op.Err)
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return fmt.Errorf("read config: %s cannot be %s: %w", s, what, err)
}
