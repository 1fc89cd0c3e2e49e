package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

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

// Limits of watches. Thousands of probers must not reconnect, or list, at the same time.
const (
	minWatchSeconds = 300
	maxWatchSeconds = 600
	minRetryDelay   = time.Second
	maxRetryDelay   = time.Minute
	// Time over which the probers of a cluster spread their lists, per node: two probers per node send 33 lists per second.
	relistPerNode = 60 * time.Millisecond
	maxRelist     = 5 * time.Minute
)

// watchTimeout returns the query parameter for the duration of a watch, which differs for every one.
func watchTimeout() string {
	return fmt.Sprintf("&timeoutSeconds=%d", minWatchSeconds+rand.IntN(maxWatchSeconds-minWatchSeconds))
}

// retryDelay returns the time until the next request after some failures in a row: it doubles with every failure, and is
// random between half of its value and its value.
func retryDelay(failures int) time.Duration {
	delay := maxRetryDelay
	if failures < 6 {
		delay = min(maxRetryDelay, minRetryDelay<<max(0, failures-1))
	}
	return delay/2 + rand.N(delay/2)
}

// relistDelay returns the time until a list replaces a watch that cannot be resumed, in a cluster of that many nodes.
func relistDelay(nodes int) time.Duration {
	spread := min(time.Duration(nodes)*relistPerNode, maxRelist)
	if spread == 0 {
		return 0
	}
	return rand.N(spread)
}

// errExpired is the error of a watch that cannot be resumed: the API server no longer has the changes since its version.
var errExpired = fmt.Errorf("the resource version is too old")

// peerWatch keeps the endpoint slices of the probers up to date. It lists them once, and then resumes its watch from the
// last version that it received, so that a list is required only after that version has expired.
type peerWatch struct {
	api    kube
	path   string
	peers  chan []peer
	slices map[string]endpointSlice
	// The last version that was received; "" before the first list, and after the version has expired.
	version string
}

// watchPeers sends all ready probers to the channel, and again when they change. While the API server cannot be reached,
// the last list remains valid.
func watchPeers(ctx context.Context, api kube, peers chan []peer) {
	watch := newPeerWatch(api, peers)
	failures := 0
	for ctx.Err() == nil {
		err := watch.run(ctx)
		switch {
		case err == nil:
			failures = 0
			pause(ctx, retryDelay(0))
		case err == errExpired:
			log.Printf("peers: %v", err)
			pause(ctx, retryDelay(0)+relistDelay(watch.nodes()))
		case ctx.Err() == nil:
			failures++
			log.Printf("peers: %v", err)
			pause(ctx, retryDelay(failures))
		}
	}
}

func newPeerWatch(api kube, peers chan []peer) *peerWatch {
	path := "/apis/discovery.k8s.io/v1/namespaces/" + api.namespace + "/endpointslices?labelSelector=" +
		url.QueryEscape("kubernetes.io/service-name in (prober, prober-peer, prober-host)")
	return &peerWatch{api: api, path: path, peers: peers, slices: map[string]endpointSlice{}}
}

// nodes returns the number of nodes with probers.
func (w *peerWatch) nodes() int {
	names := map[string]bool{}
	for _, slice := range w.slices {
		for _, endpoint := range slice.Endpoints {
			names[endpoint.NodeName] = true
		}
	}
	return len(names)
}

// run lists the slices if necessary, and watches them until the watch ends.
func (w *peerWatch) run(ctx context.Context) error {
	if w.version == "" {
		if err := w.list(ctx); err != nil {
			return err
		}
	}
	body, err := w.api.call(ctx, http.MethodGet, w.path+"&watch=1&allowWatchBookmarks=true&resourceVersion="+w.version+watchTimeout(), "", nil)
	if failed, ok := err.(apiError); ok && failed.code == http.StatusGone {
		w.version = ""
		return errExpired
	}
	if err != nil {
		return err
	}
	defer body.Close()
	return w.read(body)
}

// list reads all slices from the cache of the API server.
func (w *peerWatch) list(ctx context.Context) error {
	body, err := w.api.call(ctx, http.MethodGet, w.path+"&resourceVersion=0", "", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	var list struct {
		Metadata meta            `json:"metadata"`
		Items    []endpointSlice `json:"items"`
	}
	if err := json.NewDecoder(body).Decode(&list); err != nil {
		return err
	}
	w.slices = map[string]endpointSlice{}
	for _, item := range list.Items {
		w.slices[item.Metadata.Name] = item
	}
	w.version = list.Metadata.ResourceVersion
	sendPeers(w.peers, w.slices)
	return nil
}

// read applies the events of a watch until it ends.
func (w *peerWatch) read(events io.Reader) error {
	for decoder := json.NewDecoder(events); ; {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := decoder.Decode(&event); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if event.Type == "ERROR" {
			return w.readError(event.Object)
		}
		var slice endpointSlice
		if err := json.Unmarshal(event.Object, &slice); err != nil {
			return err
		}
		w.version = slice.Metadata.ResourceVersion
		switch event.Type {
		case "ADDED", "MODIFIED":
			w.slices[slice.Metadata.Name] = slice
		case "DELETED":
			delete(w.slices, slice.Metadata.Name)
		case "BOOKMARK":
			continue // only the version has changed
		}
		sendPeers(w.peers, w.slices)
	}
}

// readError returns the error that ended a watch. After any other error than an expired version, the watch is resumed.
func (w *peerWatch) readError(object json.RawMessage) error {
	var status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(object, &status); err != nil {
		return err
	}
	if status.Code == http.StatusGone {
		w.version = ""
		return errExpired
	}
	return apiError{status.Code, status.Message}
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
	failures := 0
	// From the present state of the one object: a request that was made between two watches is not missed.
	path := "/api/v1/namespaces/" + api.namespace + "/configmaps?watch=1&resourceVersion=0&fieldSelector=" +
		url.QueryEscape("metadata.name="+name)
	for ctx.Err() == nil {
		// Only the metadata, because the data changes every few seconds.
		body, err := api.call(ctx, http.MethodGet, path+watchTimeout(), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", nil)
		if err != nil {
			log.Printf("flush requests: %v", err)
			failures++
		} else {
			last = readFlushRequests(body, last, flushRequested)
			body.Close()
			failures = 0
		}
		pause(ctx, retryDelay(failures))
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
