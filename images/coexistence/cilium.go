package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	endpointsResource  = schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumendpoints"}
	identitiesResource = schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumidentities"}
)

// Label of every object that this project creates.
const (
	managedBy = "app.kubernetes.io/managed-by"
	project   = "cni-live-migration"
)

// Annotation with which Cilium's operator marks an identity for deletion (pkg/k8s/identitybackend/identity.go).
const heartbeat = "io.cilium.heartbeat"

// endpoint contains the fields of a CiliumEndpoint that agents read for pods of other nodes
// (pkg/k8s/watchers/cilium_endpoint.go).
type endpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            endpointStatus `json:"status"`
}

type endpointStatus struct {
	Identity   *endpointIdentity   `json:"identity,omitempty"`
	Networking *endpointNetworking `json:"networking,omitempty"`
	NamedPorts []namedPort         `json:"named-ports,omitempty"`
	State      string              `json:"state,omitempty"`
}

type endpointIdentity struct {
	ID     int64    `json:"id"`
	Labels []string `json:"labels,omitempty"`
}

type endpointNetworking struct {
	Addressing []addressPair `json:"addressing"`
	NodeIP     string        `json:"node,omitempty"`
}

// addressPair holds one address of each family.
type addressPair struct {
	IPv4 string `json:"ipv4,omitempty"`
	IPv6 string `json:"ipv6,omitempty"`
}

// identity is a CiliumIdentity. Its name is its number.
type identity struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	SecurityLabels    map[string]string `json:"security-labels"`
}

// endpointName returns the name of our endpoint for a pod. It differs from the pod's name, because a pod of the same name
// may start on Cilium while the old one still terminates, and its agent creates an endpoint with the pod's name.
func endpointName(pod types.UID) string { return "canal-" + string(pod) }

// buildEndpoint builds the endpoint of a pod. The pod owns it, so that both are removed together.
func buildEndpoint(pod podFacts, id int64, security map[string]string) *endpoint {
	pair := addressPair{IPv4: pod.address.String()}
	if pod.address.Is6() {
		pair = addressPair{IPv6: pod.address.String()}
	}
	return &endpoint{
		TypeMeta: metav1.TypeMeta{APIVersion: "cilium.io/v2", Kind: "CiliumEndpoint"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.namespace, Name: endpointName(pod.uid), Labels: map[string]string{managedBy: project},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.name, UID: pod.uid}},
		},
		Status: endpointStatus{
			Identity:   &endpointIdentity{id, labelList(security)},
			Networking: &endpointNetworking{[]addressPair{pair}, pod.nodeIP},
			NamedPorts: pod.ports,
			State:      "ready",
		},
	}
}

// sameStatus returns true when both endpoints have the same identity, addresses and named ports.
func (e *endpoint) sameStatus(other *endpoint) bool {
	a, b := e.Status, other.Status
	return a.Identity != nil && b.Identity != nil && a.Identity.ID == b.Identity.ID &&
		slices.Equal(a.Identity.Labels, b.Identity.Labels) &&
		a.Networking != nil && b.Networking != nil && a.Networking.NodeIP == b.Networking.NodeIP &&
		slices.Equal(a.Networking.Addressing, b.Networking.Addressing) && slices.Equal(a.NamedPorts, b.NamedPorts)
}

// buildIdentity builds a new identity for labels.
func buildIdentity(id int64, security map[string]string) *identity {
	return &identity{
		TypeMeta: metav1.TypeMeta{APIVersion: "cilium.io/v2", Kind: "CiliumIdentity"},
		ObjectMeta: metav1.ObjectMeta{
			Name:   strconv.FormatInt(id, 10),
			Labels: map[string]string{namespaceLabel: security[securityLabelsSource+":"+namespaceLabel]},
		},
		SecurityLabels: security,
	}
}

// oldest returns the number of the identity that agents use when several have the same labels (crdBackend.get).
func oldest(identities []*identity) (int64, bool) {
	if len(identities) == 0 {
		return 0, false
	}
	first := slices.MinFunc(identities, func(a, b *identity) int {
		return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	id, err := strconv.ParseInt(first.Name, 10, 64)
	return id, err == nil
}

// randomID returns a number in the range of a cluster (pkg/identity/numericidentity.go): the first 256 are reserved.
func randomID(clusterID int64) int64 {
	const perCluster = 1 << 16
	const reserved = 256
	return clusterID*perCluster + reserved + rand.Int64N(perCluster-reserved)
}

func toUnstructured(object any) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("cannot convert %T: %w", object, err)
	}
	delete(fields["metadata"].(map[string]any), "creationTimestamp")
	return &unstructured.Unstructured{Object: fields}, nil
}

// decodeFields is the transformer of an informer that keeps only the fields of T.
func decodeFields[T any](object any) (any, error) {
	whole, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil
	}
	whole.SetManagedFields(nil)
	kept := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(whole.Object, kept); err != nil {
		return nil, err
	}
	return kept, nil
}
