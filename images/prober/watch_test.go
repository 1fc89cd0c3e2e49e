package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// fakeServer is an API server that answers lists and watches of endpoint slices in order.
type fakeServer struct {
	lists   int
	watches []string
	// Events of each watch; a watch without events is refused with status 410.
	events []string
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	if query.Get("watch") == "" {
		f.lists++
		fmt.Fprintf(w, `{"metadata":{"resourceVersion":"%d"},"items":[%s]}`, 10*f.lists, sliceText("a", 10*f.lists))
		return
	}
	f.watches = append(f.watches, query.Get("resourceVersion"))
	events := f.events[len(f.watches)-1]
	if events == "" {
		w.WriteHeader(http.StatusGone)
		return
	}
	fmt.Fprint(w, events)
}

// sliceText returns a slice with one prober on the node of its name.
func sliceText(name string, version int) string {
	return fmt.Sprintf(`{"metadata":{"name":"%s","resourceVersion":"%d","labels":{"kubernetes.io/service-name":"prober"}},`+
		`"endpoints":[{"addresses":["10.244.0.1"],"nodeName":"%s"}]}`, name, version, name)
}

// newTestWatch returns a watch of a server with these events, one text per watch.
func newTestWatch(t *testing.T, events ...string) (*peerWatch, *fakeServer) {
	t.Helper()
	fake := &fakeServer{events: events}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := kube{base: server.URL, namespace: "n", tokenFile: token, client: server.Client()}
	return newPeerWatch(api, make(chan []peer, 1)), fake
}

func runWatch(t *testing.T, watch *peerWatch, want error) {
	t.Helper()
	if err := watch.run(context.Background()); err != want {
		t.Fatalf("the watch ended with %v, not %v", err, want)
	}
}

func TestWatchResumesFromTheLastVersionWithoutAList(t *testing.T) {
	watch, fake := newTestWatch(t,
		`{"type":"ADDED","object":`+sliceText("b", 12)+`}`+`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"17"}}}`,
		`{"type":"DELETED","object":`+sliceText("a", 19)+`}`,
		`{"type":"ERROR","object":{"code":500,"message":"overloaded"}}`,
		`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"23"}}}`)
	runWatch(t, watch, nil)
	if nodes := nodeNames(<-watch.peers); !slices.Equal(nodes, []string{"a", "b"}) {
		t.Fatalf("peers are on %v", nodes)
	}
	runWatch(t, watch, nil)
	if nodes := nodeNames(<-watch.peers); !slices.Equal(nodes, []string{"b"}) {
		t.Fatalf("peers are on %v", nodes)
	}
	runWatch(t, watch, apiError{500, "overloaded"})
	runWatch(t, watch, nil)
	if fake.lists != 1 || !slices.Equal(fake.watches, []string{"10", "17", "19", "19"}) {
		t.Fatalf("%d lists, watches from %v", fake.lists, fake.watches)
	}
}

func TestWatchListsAgainAfterItsVersionHasExpired(t *testing.T) {
	watch, fake := newTestWatch(t,
		`{"type":"ERROR","object":{"code":410,"message":"too old"}}`,
		"",
		`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"31"}}}`)
	runWatch(t, watch, errExpired)
	// The last list remains valid until the next one.
	if watch.nodes() != 1 {
		t.Fatalf("%d nodes are known", watch.nodes())
	}
	runWatch(t, watch, errExpired)
	runWatch(t, watch, nil)
	if fake.lists != 3 || !slices.Equal(fake.watches, []string{"10", "20", "30"}) {
		t.Fatalf("%d lists, watches from %v", fake.lists, fake.watches)
	}
}

func TestRetriesAreSpreadAndBackOff(t *testing.T) {
	for failures, longest := range []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		seen := map[time.Duration]bool{}
		for range 100 {
			delay := retryDelay(failures)
			if delay < longest/2 || delay > longest {
				t.Fatalf("after %d failures, the delay is %v", failures, delay)
			}
			seen[delay] = true
		}
		if len(seen) < 50 {
			t.Fatalf("only %d different delays after %d failures", len(seen), failures)
		}
	}
	if delay := retryDelay(1000); delay < maxRetryDelay/2 || delay > maxRetryDelay {
		t.Fatalf("after 1000 failures, the delay is %v", delay)
	}
	if relistDelay(0) != 0 || relistDelay(1_000_000) > maxRelist {
		t.Fatal("lists are not spread by the number of nodes")
	}
}
