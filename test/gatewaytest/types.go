package gatewaytest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	apiGroup = "gateway.networking.k8s.io"
	apiV1    = apiGroup + "/v1"
)

// What is watched.
var (
	gatewayClasses  = schema.GroupVersionResource{Group: apiGroup, Version: "v1", Resource: "gatewayclasses"}
	gateways        = schema.GroupVersionResource{Group: apiGroup, Version: "v1", Resource: "gateways"}
	httpRoutes      = schema.GroupVersionResource{Group: apiGroup, Version: "v1", Resource: "httproutes"}
	referenceGrants = schema.GroupVersionResource{Group: apiGroup, Version: "v1beta1", Resource: "referencegrants"}
	services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// The types hold what the fixture knows; a field of an HTTPRoute that has no
// place in them makes it refuse the route. A field is a pointer where absent
// and zero mean different things.

// Head is what every object begins with. It is exported for the converter, which
// sets fields by reflection.
type Head struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
}

type httpRoute struct {
	Head `json:",inline"`
	Spec routeSpec `json:"spec"`
	// Status has the entries of other controllers too.
	Status struct {
		Parents []parentStatus `json:"parents"`
	} `json:"status"`
}

type routeSpec struct {
	ParentRefs []parentRef `json:"parentRefs"`
	Hostnames  []string    `json:"hostnames"`
	Rules      []rule      `json:"rules"`
}

// parentRef is comparable: a status entry names its parent as the spec does.
type parentRef struct {
	Group       string `json:"group"`
	Kind        string `json:"kind"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName,omitempty"`
	Port        int64  `json:"port,omitempty"`
}

type parentStatus struct {
	ParentRef      parentRef          `json:"parentRef"`
	ControllerName string             `json:"controllerName"`
	Conditions     []metav1.Condition `json:"conditions"`
}

type rule struct {
	Name        string       `json:"name"`
	Matches     []routeMatch `json:"matches"`
	Filters     []filter     `json:"filters"`
	BackendRefs []backendRef `json:"backendRefs"`
}

type routeMatch struct {
	Path        pathMatch    `json:"path"`
	Method      string       `json:"method"`
	Headers     []valueMatch `json:"headers"`
	QueryParams []valueMatch `json:"queryParams"`
}

type pathMatch struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type valueMatch struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

type filter struct {
	Type                   string        `json:"type"`
	RequestHeaderModifier  *headerChange `json:"requestHeaderModifier"`
	ResponseHeaderModifier *headerChange `json:"responseHeaderModifier"`
	RequestMirror          *mirrorFilter `json:"requestMirror"`
	URLRewrite             *urlRewrite   `json:"urlRewrite"`
}

type headerChange struct {
	Set    []headerValue `json:"set"`
	Add    []headerValue `json:"add"`
	Remove []string      `json:"remove"`
}

type headerValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type mirrorFilter struct {
	BackendRef backendRef `json:"backendRef"`
	Percent    *int64     `json:"percent"`
	Fraction   *struct {
		Numerator   int64 `json:"numerator"`
		Denominator int64 `json:"denominator"`
	} `json:"fraction"`
}

type urlRewrite struct {
	Hostname string `json:"hostname"`
	Path     *struct {
		Type               string `json:"type"`
		ReplaceFullPath    string `json:"replaceFullPath"`
		ReplacePrefixMatch string `json:"replacePrefixMatch"`
	} `json:"path"`
}

type backendRef struct {
	Group     string   `json:"group"`
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Port      int64    `json:"port"`
	Weight    *int64   `json:"weight"`
	Filters   []filter `json:"filters"`
}

type gatewayObject struct {
	Head `json:",inline"`
	Spec struct {
		GatewayClassName string     `json:"gatewayClassName"`
		Listeners        []listener `json:"listeners"`
	} `json:"spec"`
	Status gatewayStatus `json:"status"`
}

type listener struct {
	Name          string `json:"name"`
	Hostname      string `json:"hostname"`
	Port          int64  `json:"port"`
	Protocol      string `json:"protocol"`
	AllowedRoutes struct {
		Namespaces struct {
			From     string                `json:"from"`
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"namespaces"`
		Kinds []groupKind `json:"kinds"`
	} `json:"allowedRoutes"`
}

type groupKind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
}

type gatewayStatus struct {
	Addresses  []address          `json:"addresses"`
	Conditions []metav1.Condition `json:"conditions"`
	Listeners  []listenerStatus   `json:"listeners"`
}

type address struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type listenerStatus struct {
	Name           string             `json:"name"`
	AttachedRoutes int64              `json:"attachedRoutes"`
	SupportedKinds []groupKind        `json:"supportedKinds"`
	Conditions     []metav1.Condition `json:"conditions"`
}

type gatewayClass struct {
	Head `json:",inline"`
	Spec struct {
		ControllerName string `json:"controllerName"`
	} `json:"spec"`
	Status classStatus `json:"status"`
}

type classStatus struct {
	Conditions        []metav1.Condition `json:"conditions"`
	SupportedFeatures []feature          `json:"supportedFeatures,omitempty"`
}

type feature struct {
	Name string `json:"name"`
}

type referenceGrant struct {
	Head `json:",inline"`
	Spec struct {
		From []struct {
			Group     string `json:"group"`
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
		} `json:"from"`
		To []struct {
			Group string `json:"group"`
			Kind  string `json:"kind"`
			Name  string `json:"name"`
		} `json:"to"`
	} `json:"spec"`
}

type service struct {
	Head `json:",inline"`
	Spec struct {
		Ports []struct {
			Port int64 `json:"port"`
		} `json:"ports"`
	} `json:"spec"`
}

type namespace struct {
	Head `json:",inline"`
}
