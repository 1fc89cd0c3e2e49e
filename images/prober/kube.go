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
	"os"
	"strings"
	"time"
)

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// kube is a client of the API server with the pod's service account.
type kube struct {
	base, namespace, tokenFile string
	client                     *http.Client
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
		tokenFile: serviceAccount + "token",
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
	token, err := os.ReadFile(k.tokenFile)
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
