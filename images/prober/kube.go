package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// kube speaks to the API server as this pod's service account.
type kube struct {
	base, namespace string
	client          *http.Client
}

func inCluster() kube {
	authority, err := os.ReadFile(serviceAccount + "ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	namespace, err := os.ReadFile(serviceAccount + "namespace")
	if err != nil {
		log.Fatal(err)
	}
	// By the service's address, so that no DNS is needed.
	return kube{
		base:      "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")),
		namespace: string(namespace),
		client:    &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}
}

// apiError is an answer of the API server that is an error.
type apiError struct {
	code int
	text string
}

func (e apiError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// call returns the body of the answer, to be closed. mediaType is that of what is sent or, where nothing is, of what is
// wanted; "" leaves it to the API server.
func (k kube) call(ctx context.Context, method, path, mediaType string, body []byte) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, k.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Read anew each time: the kubelet renews it.
	token, err := os.ReadFile(serviceAccount + "token")
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	if mediaType != "" && body != nil {
		request.Header.Set("Content-Type", mediaType)
	} else if mediaType != "" {
		request.Header.Set("Accept", mediaType)
	}
	response, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		return nil, apiError{response.StatusCode, string(text)}
	}
	return response.Body, nil
}

type meta struct {
	Name            string            `json:"name,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

type endpointSlice struct {
	Metadata  meta `json:"metadata"`
	Endpoints []struct {
		Addresses  []string `json:"addresses"`
		NodeName   string   `json:"nodeName"`
		Conditions struct {
			Ready       *bool `json:"ready"`
			Terminating *bool `json:"terminating"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

// Which service's endpoints are probers of which role: see probers.ts.
var roles = map[string]string{"prober": "pod", "prober-peer": "peer", "prober-host": "host"}

// watchPeers tells of all probers that are ready, again and again as they change, as kube-proxy learns of endpoints.
// While the API server cannot be reached, what is known holds.
func watchPeers(ctx context.Context, api kube, peers chan []peer) {
	path := "/apis/discovery.k8s.io/v1/namespaces/" + api.namespace + "/endpointslices?labelSelector=" +
		url.QueryEscape("kubernetes.io/service-name in (prober, prober-peer, prober-host)")
	for ctx.Err() == nil {
		if err := watchOnce(ctx, api, path, peers); err != nil && ctx.Err() == nil {
			log.Printf("peers: %v", err)
		}
		pause(ctx, time.Second)
	}
}

func watchOnce(ctx context.Context, api kube, path string, peers chan []peer) error {
	body, err := api.call(ctx, http.MethodGet, path+"&resourceVersion=0", "", nil)
	if err != nil {
		return err
	}
	var list struct {
		Metadata meta            `json:"metadata"`
		Items    []endpointSlice `json:"items"`
	}
	err = json.NewDecoder(body).Decode(&list)
	body.Close()
	if err != nil {
		return err
	}
	slicesByName := map[string]endpointSlice{}
	for _, item := range list.Items {
		slicesByName[item.Metadata.Name] = item
	}
	tell(peers, slicesByName)
	body, err = api.call(ctx, http.MethodGet, path+"&watch=1&timeoutSeconds=300&resourceVersion="+list.Metadata.ResourceVersion, "", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for events := json.NewDecoder(body); ; {
		var event struct {
			Type   string        `json:"type"`
			Object endpointSlice `json:"object"`
		}
		if err := events.Decode(&event); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		switch event.Type {
		case "ADDED", "MODIFIED":
			slicesByName[event.Object.Metadata.Name] = event.Object
		case "DELETED":
			delete(slicesByName, event.Object.Metadata.Name)
		case "ERROR":
			return nil // too old: listed anew
		}
		tell(peers, slicesByName)
	}
}

// tell replaces what was not read yet: only the latest counts.
func tell(peers chan []peer, byName map[string]endpointSlice) {
	var found []peer
	for _, slice := range byName {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			terminating := endpoint.Conditions.Terminating != nil && *endpoint.Conditions.Terminating
			if !ready || terminating || len(endpoint.Addresses) == 0 {
				continue
			}
			found = append(found, peer{endpoint.NodeName, endpoint.Addresses[0], roles[slice.Metadata.Labels["kubernetes.io/service-name"]]})
		}
	}
	// An endpoint may be in two slices for a moment.
	slices.SortFunc(found, func(a, b peer) int {
		return strings.Compare(a.node+a.role+a.ip, b.node+b.role+b.ip)
	})
	found = slices.Compact(found)
	select {
	case <-peers:
	default:
	}
	peers <- found
}

// askedAnnotation is set anew on a node's page by whoever waits for it: see ledger.ts.
const askedAnnotation = "cni-live-migration/asked-at"

// watchAsked tells each time that the page of that name is asked for. While the API server cannot be reached, nobody asks.
func watchAsked(ctx context.Context, api kube, page string, asked chan<- struct{}) {
	last := ""
	path := "/api/v1/namespaces/" + api.namespace + "/configmaps?watch=1&timeoutSeconds=300&resourceVersion=0&fieldSelector=" +
		url.QueryEscape("metadata.name="+page)
	for ctx.Err() == nil {
		// Not the pages themselves, which change every few seconds.
		body, err := api.call(ctx, http.MethodGet, path, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", nil)
		if err != nil {
			log.Printf("asked: %v", err)
		} else {
			last = readAsked(body, last, asked)
			body.Close()
		}
		pause(ctx, time.Second)
	}
}

// readAsked reads events until they end. It returns what was asked for last.
func readAsked(events io.Reader, last string, asked chan<- struct{}) string {
	for decoder := json.NewDecoder(events); ; {
		var event struct {
			Object struct {
				Metadata meta `json:"metadata"`
			} `json:"object"`
		}
		if decoder.Decode(&event) != nil {
			return last
		}
		now := event.Object.Metadata.Annotations[askedAnnotation]
		if now == "" || now == last {
			continue
		}
		last = now
		select {
		case asked <- struct{}{}:
		default: // it is told already
		}
	}
}

// ledgerStore keeps the ledger in a ConfigMap of the node, where it outlives the pod, the node and the worker.
type ledgerStore struct {
	api             kube
	name, role, pod string
	book            *ledger
	restored        bool
}

func (s *ledgerStore) path() string {
	return "/api/v1/namespaces/" + s.api.namespace + "/configmaps/" + s.name
}

// restore takes up what an earlier prober of this node has written.
func (s *ledgerStore) restore(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := s.api.call(short, http.MethodGet, s.path(), "", nil)
	if err != nil {
		failed, ok := err.(apiError)
		s.restored = ok && failed.code == http.StatusNotFound
		if !s.restored {
			log.Printf("ledger: %v", err)
		}
		return
	}
	defer body.Close()
	var found struct {
		Data map[string]string `json:"data"`
	}
	if err := json.NewDecoder(body).Decode(&found); err != nil {
		log.Printf("ledger: %v", err)
		return
	}
	s.restored = true
	var p page
	if text := found.Data[s.role]; text != "" && json.Unmarshal([]byte(text), &p) == nil {
		s.book.restore(p)
	}
}

// write writes the ledger down. What was not read before is never written over.
func (s *ledgerStore) write(ctx context.Context) {
	if !s.restored {
		if s.restore(ctx); !s.restored {
			return
		}
	}
	text, _ := json.Marshal(s.book.page(s.pod, time.Now()))
	object := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": meta{Name: s.name, Labels: map[string]string{
			"app": "ledger", "app.kubernetes.io/managed-by": "cni-live-migration",
		}},
		"data": map[string]string{s.role: string(text)},
	}
	body, _ := json.Marshal(object)
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answer, err := s.api.call(short, http.MethodPatch, s.path(), "application/merge-patch+json", body)
	if failed, ok := err.(apiError); ok && failed.code == http.StatusNotFound {
		collection := strings.TrimSuffix(s.path(), "/"+s.name)
		answer, err = s.api.call(short, http.MethodPost, collection, "application/json", body)
	}
	if err != nil {
		log.Printf("ledger: %v", err)
		return
	}
	answer.Close()
}
