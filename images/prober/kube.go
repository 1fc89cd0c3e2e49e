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

// kube is a client of the API server with the pod's service account.
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
	// Uses the service's address, which needs no DNS.
	return kube{
		base:      "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")),
		namespace: string(namespace),
		client:    &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}
}

// apiError is an error status of the API server.
type apiError struct {
	code int
	text string
}

func (e apiError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// call returns the body of the response, which the caller closes. mediaType is that of the body or, without a body, of the
// response; "" uses the default of the API server.
func (k kube) call(ctx context.Context, method, path, mediaType string, body []byte) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, k.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Read for each request, because the kubelet rotates the token.
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

// Roles of the probers behind each service; activities/helpers/probers.ts creates the services.
var roles = map[string]string{"prober": "pod", "prober-peer": "peer", "prober-host": "host"}

// watchPeers sends all ready probers to the channel, and again when they change. While the API server cannot be reached,
// the last list remains valid.
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
	sendPeers(peers, slicesByName)
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
			return nil // the resource version is too old: list again
		}
		sendPeers(peers, slicesByName)
	}
}

// sendPeers replaces a list that was not read yet, because only the latest one is used.
func sendPeers(peers chan []peer, byName map[string]endpointSlice) {
	var ready []peer
	for _, slice := range byName {
		for _, endpoint := range slice.Endpoints {
			isReady := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			terminating := endpoint.Conditions.Terminating != nil && *endpoint.Conditions.Terminating
			if !isReady || terminating || len(endpoint.Addresses) == 0 {
				continue
			}
			ready = append(ready, peer{endpoint.NodeName, endpoint.Addresses[0], roles[slice.Metadata.Labels["kubernetes.io/service-name"]]})
		}
	}
	// An endpoint may temporarily be in two slices.
	slices.SortFunc(ready, func(a, b peer) int {
		return strings.Compare(a.node+a.role+a.ip, b.node+b.role+b.ip)
	})
	ready = slices.Compact(ready)
	select {
	case <-peers:
	default:
	}
	peers <- ready
}

// flushRequestedAnnotation requests an immediate write when its value on a node's ledger changes; activities/probe/ledger.ts
// sets it.
const flushRequestedAnnotation = "cni-live-migration/flush-requested-at"

// watchFlushRequests sends to the channel when a flush of the ledger of that name is requested.
func watchFlushRequests(ctx context.Context, api kube, name string, flushRequested chan<- struct{}) {
	last := ""
	path := "/api/v1/namespaces/" + api.namespace + "/configmaps?watch=1&timeoutSeconds=300&resourceVersion=0&fieldSelector=" +
		url.QueryEscape("metadata.name="+name)
	for ctx.Err() == nil {
		// Only the metadata, because the data changes every few seconds.
		body, err := api.call(ctx, http.MethodGet, path, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", nil)
		if err != nil {
			log.Printf("flush requests: %v", err)
		} else {
			last = readFlushRequests(body, last, flushRequested)
			body.Close()
		}
		pause(ctx, time.Second)
	}
}

// readFlushRequests reads events until the stream ends. It returns the value of the last request.
func readFlushRequests(events io.Reader, last string, flushRequested chan<- struct{}) string {
	for decoder := json.NewDecoder(events); ; {
		var event struct {
			Object struct {
				Metadata meta `json:"metadata"`
			} `json:"object"`
		}
		if decoder.Decode(&event) != nil {
			return last
		}
		now := event.Object.Metadata.Annotations[flushRequestedAnnotation]
		if now == "" || now == last {
			continue
		}
		last = now
		select {
		case flushRequested <- struct{}{}:
		default: // a request is already pending
		}
	}
}

// ledgerStore stores the ledger in a ConfigMap of the node, which is retained when the pod, the node or the worker stops.
type ledgerStore struct {
	api             kube
	name, role, pod string
	ledger          *ledger
	restored        bool
}

func (s *ledgerStore) path() string {
	return "/api/v1/namespaces/" + s.api.namespace + "/configmaps/" + s.name
}

// restore adds the results that an earlier prober of this node has stored.
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
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := json.NewDecoder(body).Decode(&configMap); err != nil {
		log.Printf("ledger: %v", err)
		return
	}
	s.restored = true
	var p nodeLedger
	if text := configMap.Data[s.role]; text != "" && json.Unmarshal([]byte(text), &p) == nil {
		s.ledger.restore(p)
	}
}

// write stores the ledger. It first restores earlier results, and never overwrites results that it could not read.
func (s *ledgerStore) write(ctx context.Context) {
	if !s.restored {
		if s.restore(ctx); !s.restored {
			return
		}
	}
	text, _ := json.Marshal(s.ledger.nodeLedger(s.pod, time.Now()))
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
