package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const testKey = probeKey("0123456789a")

// serveTest serves resources on 127.0.0.1 and returns the address.
func serveTest(t *testing.T, e endpoints) string {
	t.Helper()
	listener := listen(t)
	go newHTTPServer(e).Serve(limitConnections(listener))
	return listener.Addr().String()
}

// request returns the status and the body of an answer.
func request(t *testing.T, url string, secret probeKey) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(keyHeader, string(secret))
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// serveSecret starts a server whose answer must not leave its node, and returns its address and the number of its requests.
func serveSecret(t *testing.T) (string, *atomic.Int32) {
	t.Helper()
	requests := &atomic.Int32{}
	listener := listen(t)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		fmt.Fprint(w, "credentials")
	}))
	return listener.Addr().String(), requests
}

// serveRedirects starts a server that redirects every request to another address, and returns its port.
func serveRedirects(t *testing.T, to string) int {
	t.Helper()
	listener := listen(t)
	go http.Serve(listener, http.RedirectHandler("http://"+to+"/latest/meta-data", http.StatusFound))
	return listener.Addr().(*net.TCPAddr).Port
}

func noProber(netip.Addr) bool { return false }

func TestRequestsWithoutTheKeyAreRefused(t *testing.T) {
	server := serveTest(t, endpoints{secret: testKey, echo: true, dialable: noProber, metrics: newLedger().metrics(time.Now)})
	for path, want := range map[string]int{
		"/ready": http.StatusNoContent, "/metrics": http.StatusOK,
		"/echo": http.StatusForbidden, "/echo?bytes=1000000": http.StatusForbidden, "/dial?to=127.0.0.1": http.StatusForbidden,
	} {
		for _, secret := range []probeKey{"", testKey[1:], testKey + "x", "x123456789a"} {
			if status, body := request(t, "http://"+server+path, secret); status != want || strings.Contains(body, string(testKey)) {
				t.Errorf("%s with the key %q: status %d, %q", path, secret, status, body)
			}
		}
	}
	if status, _ := request(t, "http://"+server+"/echo", testKey); status != http.StatusOK {
		t.Errorf("with the key, the status is %d", status)
	}
}

// A server without a key would accept requests without one.
func TestAnEmptyKeyOpensNothing(t *testing.T) {
	if status, _ := request(t, "http://"+serveTest(t, endpoints{echo: true})+"/echo", ""); status != http.StatusForbidden {
		t.Errorf("status %d", status)
	}
	if _, ok := probeKey("").strip([]byte("text")); ok {
		t.Error("an empty key was accepted")
	}
}

func TestDialCallsOnlyItsCallerAndProbers(t *testing.T) {
	secretServer, requests := serveSecret(t)
	_, text, _ := net.SplitHostPort(secretServer)
	secretPort := 0
	fmt.Sscan(text, &secretPort)
	prober := serveTest(t, endpoints{secret: testKey, echo: true})
	proberPort := netip.MustParseAddrPort(prober).Port()
	known := &knownProbers{}
	known.update([]peer{{"n1", "127.0.0.3", "pod"}, {"n1", "127.0.0.4", "host"}, {"n1", "127.0.0.5", "peer"}})
	for _, c := range []struct {
		name, to string
		port     int
		status   int
	}{
		{"the caller", "127.0.0.1", int(proberPort), http.StatusOK},
		{"another address", "127.0.0.2", secretPort, http.StatusForbidden},
		{"a node", "127.0.0.4", secretPort, http.StatusForbidden},
		{"a pod that only answers samples", "127.0.0.5", secretPort, http.StatusForbidden},
		{"the metadata service of a cloud", "169.254.169.254", secretPort, http.StatusForbidden},
		{"a name", "localhost", secretPort, http.StatusBadRequest},
		{"a port", "127.0.0.1:22", secretPort, http.StatusBadRequest},
		{"a path", "127.0.0.1/../x", secretPort, http.StatusBadRequest},
		// Nothing listens there: the test only shows that it is called.
		{"a prober", "127.0.0.3", 1, http.StatusBadGateway},
	} {
		server := serveTest(t, endpoints{secret: testKey, dialable: known.contains, dialPort: c.port})
		status, body := request(t, "http://"+server+"/dial?to="+c.to, testKey)
		if status != c.status || strings.Contains(body, "credentials") {
			t.Errorf("%s: status %d, %q", c.name, status, body)
		}
	}
	if requests.Load() != 0 {
		t.Errorf("%d requests reached a server that is no prober", requests.Load())
	}
}

func TestDialReturnsNothingButAnEcho(t *testing.T) {
	secretServer, requests := serveSecret(t)
	for name, dialPort := range map[string]int{
		"another answer": int(netip.MustParseAddrPort(secretServer).Port()),
		"a redirection":  serveRedirects(t, secretServer),
	} {
		before := requests.Load()
		server := serveTest(t, endpoints{secret: testKey, dialable: noProber, dialPort: dialPort})
		status, body := request(t, "http://"+server+"/dial?to=127.0.0.1", testKey)
		if status != http.StatusBadGateway || strings.Contains(body, "credentials") {
			t.Errorf("%s: status %d, %q", name, status, body)
		}
		if name == "a redirection" && requests.Load() != before {
			t.Error("a redirection was followed")
		}
	}
}

func TestNoClientFollowsRedirects(t *testing.T) {
	secretServer, requests := serveSecret(t)
	redirecting := fmt.Sprintf("http://127.0.0.1:%d", serveRedirects(t, secretServer))
	_, err := get(t.Context(), redirecting, "")
	var status statusError
	if !errors.As(err, &status) {
		t.Errorf("error %v", err)
	}
	if _, err := readKubeProxy(t.Context(), redirecting); err == nil {
		t.Error("a redirection is no configuration of kube-proxy")
	}
	// Any answer shows that the server was reached.
	if err := run(t.Context(), spec{Kind: "reach", Target: redirecting}, testKey); err != nil {
		t.Error(err)
	}
	if requests.Load() != 0 {
		t.Errorf("%d redirections were followed", requests.Load())
	}
}

func TestTheKeyIsSentToProbersOnly(t *testing.T) {
	header := make(chan string, 1)
	listener := listen(t)
	go http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header <- r.Header.Get(keyHeader) }))
	if err := run(t.Context(), spec{Kind: "reach", Target: "http://" + listener.Addr().String()}, testKey); err != nil {
		t.Fatal(err)
	}
	if sent := <-header; sent != "" {
		t.Errorf("%q was sent to another server", sent)
	}
}

func TestIdleConnectionsLockOutNoRequest(t *testing.T) {
	server := serveTest(t, endpoints{})
	for range maxHTTPConnections + 20 {
		connect(t, server)
	}
	if status, _ := request(t, "http://"+server+"/ready", ""); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
}

// The prober of a node is reachable from outside the cluster: it has no resource that calls other addresses or reflects data.
func TestHostProberListensOnTheAddressOfItsNodeOnly(t *testing.T) {
	free := listen(t)
	_, text, _ := net.SplitHostPort(free.Addr().String())
	s := settings{role: "host", own: "127.0.0.1", secret: testKey}
	fmt.Sscan(text, &s.port)
	free.Close()
	s.serve(newLedger(), &knownProbers{})

	for _, path := range []string{"/echo", "/dial?to=127.0.0.1", "/debug/pprof/"} {
		if status, _ := request(t, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), testKey); status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, status)
		}
	}
	if status, _ := request(t, fmt.Sprintf("http://127.0.0.1:%d/ready", s.port), ""); status != http.StatusNoContent {
		t.Errorf("the kubelet gets status %d", status)
	}
	if sampled := sampleLine(address("127.0.0.1", s.port+1), 16, testKey)(withTimeout(t)); sampled.err != nil {
		t.Error(sampled.err)
	}
	for _, other := range []int{s.port, s.port + 1} {
		if connection, err := net.Dial("tcp", address("127.0.0.2", other)); err == nil {
			connection.Close()
			t.Errorf("port %d answers on another address", other)
		}
	}
	if socket, err := net.ListenUDP("udp", &net.UDPAddr{Port: s.port}); err != nil {
		t.Errorf("UDP: %v", err)
	} else {
		socket.Close()
	}
}

// Some clouds translate the addresses of nodes.
func TestAnAddressThatNoInterfaceHasIsReplacedByAll(t *testing.T) {
	listener := mustListen("192.0.2.1", 0)
	defer listener.Close()
	if ip := listener.Addr().(*net.TCPAddr).IP; !ip.IsUnspecified() {
		t.Errorf("listening on %s", ip)
	}
}

func TestReverseCheck(t *testing.T) {
	t.Setenv("POD_IP", "127.0.0.1")
	caller := serveTest(t, endpoints{secret: testKey, echo: true})
	prober := serveTest(t, endpoints{secret: testKey, dialable: noProber, dialPort: int(netip.MustParseAddrPort(caller).Port())})
	if err := run(t.Context(), spec{Kind: "reverse", Target: prober}, testKey); err != nil {
		t.Error(err)
	}
	// The request arrives from another address than the pod's.
	t.Setenv("POD_IP", "127.0.0.2")
	if err := run(t.Context(), spec{Kind: "reverse", Target: prober}, testKey); err == nil {
		t.Error("an address that is not the caller's was called")
	}
	if err := run(t.Context(), spec{Kind: "http", Target: "http://" + caller + "/echo?bytes=100000", OwnSource: true}, testKey); err == nil {
		t.Error("another source was accepted")
	}
	t.Setenv("POD_IP", "127.0.0.1")
	if err := run(t.Context(), spec{Kind: "http", Target: "http://" + caller + "/echo?bytes=100000", OwnSource: true}, testKey); err != nil {
		t.Error(err)
	}
}
