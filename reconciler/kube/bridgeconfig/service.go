package bridgeconfig

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// PortName is that of a Service's port for the bridges' admin address.
const PortName = "admin"

// maxReplicas bounds the bridges that are asked at once.
const maxReplicas = 1000

// Service is the Replicas of package bridge: the ready endpoints of a Service.
// It needs the right to list EndpointSlices in the Service's namespace. Its
// methods may be called from any goroutine.
type Service struct {
	namespace, name string
	port            int // 0: the one that is named PortName
	slices          dynamic.ResourceInterface
}

// NewService makes no call. Port 0: the one that is named PortName.
func NewService(c *client.Client, namespace, name string, port int) *Service {
	resource := discovery.SchemeGroupVersion.WithResource("endpointslices")
	return &Service{namespace: namespace, name: name, port: port, slices: c.Dynamic().Resource(resource).Namespace(namespace)}
}

// String names the Service.
func (s *Service) String() string { return fmt.Sprintf("Service %q", s.namespace+"/"+s.name) }

// URLs are the admin addresses of the endpoints that are ready now, sorted. It
// is an error if there is none.
func (s *Service) URLs(ctx context.Context) ([]string, error) {
	all, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	urls, err := s.ready(all)
	if err != nil {
		return nil, fmt.Errorf("find the bridges of %s: %w", s, err)
	}
	return urls, nil
}

// Leaving are the admin addresses of endpoints that get no new requests and may
// still have some under way, sorted.
func (s *Service) Leaving(ctx context.Context) ([]string, error) {
	all, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, slice := range all {
		port, ok := s.portOf(slice)
		for _, e := range slice.Endpoints {
			if t := e.Conditions.Terminating; ok && t != nil && *t && len(e.Addresses) > 0 {
				urls = append(urls, "http://"+net.JoinHostPort(e.Addresses[0], strconv.Itoa(port)))
			}
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls), nil
}

func (s *Service) list(ctx context.Context) ([]discovery.EndpointSlice, error) {
	list, err := s.slices.List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: s.name}).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("find the bridges of %s: %w", s, client.Explain(err))
	}
	all := make([]discovery.EndpointSlice, len(list.Items))
	for i := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &all[i]); err != nil {
			return nil, fmt.Errorf("find the bridges of %s: read an EndpointSlice: %w", s, err)
		}
	}
	return all, nil
}

// ready are the URLs of the ready endpoints.
func (s *Service) ready(all []discovery.EndpointSlice) ([]string, error) {
	// A pod of two address families has a slice of each: it is asked by IPv4.
	slices.SortStableFunc(all, func(a, b discovery.EndpointSlice) int {
		return strings.Compare(string(a.AddressType), string(b.AddressType))
	})
	family := map[string]discovery.AddressType{} // of the address by which a pod is asked
	var urls []string
	unnamed := false
	for _, slice := range all {
		port, ok := s.portOf(slice)
		for _, e := range slice.Endpoints {
			// Not told counts as ready.
			if r := e.Conditions.Ready; r != nil && !*r || len(e.Addresses) == 0 {
				continue
			}
			if !ok {
				unnamed = true
				continue
			}
			if e.TargetRef != nil {
				pod := e.TargetRef.Kind + "/" + e.TargetRef.Name
				if f, asked := family[pod]; asked && f != slice.AddressType {
					continue
				}
				family[pod] = slice.AddressType
			}
			urls = append(urls, "http://"+net.JoinHostPort(e.Addresses[0], strconv.Itoa(port)))
		}
	}
	slices.Sort(urls)
	urls = slices.Compact(urls)
	switch {
	case len(urls) == 0 && unnamed:
		return nil, fmt.Errorf("it has no port named %q: give the port of the bridges' admin address that name, or say --bridge-service %s/%s:PORT", PortName, s.namespace, s.name)
	case len(urls) == 0:
		return nil, fmt.Errorf("it has no ready endpoint: no bridge can be asked what it serves")
	case len(urls) > maxReplicas:
		return nil, fmt.Errorf("it has %d ready endpoints, want at most %d", len(urls), maxReplicas)
	}
	return urls, nil
}

func (s *Service) portOf(slice discovery.EndpointSlice) (int, bool) {
	if s.port != 0 {
		return s.port, true
	}
	for _, p := range slice.Ports {
		if p.Name != nil && *p.Name == PortName && p.Port != nil {
			return int(*p.Port), true
		}
	}
	return 0, false
}
