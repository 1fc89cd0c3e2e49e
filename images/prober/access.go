package main

import (
	"container/list"
	"crypto/subtle"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
)

// Length of a key: it fits into the smallest sample.
const keyLength = 11

// keyHeader carries the key in HTTP requests.
const keyHeader = "Probe-Key"

// probeKey is what the probers of a migration share, $PROBE_KEY. Addresses do not identify a prober: packets of nodes arrive
// with the addresses of tunnels, and those through node ports with the address of another node. A server answers no packet,
// line or request without the key, and no answer contains it. Therefore an answer is never a request, and two servers cannot
// send each other packets in a loop.
type probeKey string

// readKey reads the key from the environment.
func readKey() probeKey {
	secret := probeKey(os.Getenv("PROBE_KEY"))
	if len(secret) != keyLength {
		log.Fatalf("PROBE_KEY must have %d characters: the worker and this image must be of the same release", keyLength)
	}
	return secret
}

// strip returns what follows the key; false when data does not start with the key.
func (secret probeKey) strip(data []byte) ([]byte, bool) {
	if len(secret) == 0 || len(data) < len(secret) || subtle.ConstantTimeCompare(data[:len(secret)], []byte(secret)) != 1 {
		return nil, false
	}
	return data[len(secret):], true
}

// require passes only requests with the key to the handler.
func (secret probeKey) require(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := secret.strip([]byte(r.Header.Get(keyHeader))); !ok || len(rest) > 0 {
			http.Error(w, "the request has no valid "+keyHeader, http.StatusForbidden)
			return
		}
		handler(w, r)
	}
}

// connectionPool limits the number of open connections: each one above the limit closes the oldest. Clients that hold idle
// connections therefore lose them to those that send a request at once.
type connectionPool struct {
	limit int
	mutex sync.Mutex
	open  list.List
}

// add returns the connection's place in the pool.
func (p *connectionPool) add(connection net.Conn) *list.Element {
	p.mutex.Lock()
	place := p.open.PushBack(connection)
	var oldest net.Conn
	if p.open.Len() > p.limit {
		oldest = p.open.Remove(p.open.Front()).(net.Conn)
	}
	p.mutex.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return place
}

// remove frees a place. One that was freed before is ignored.
func (p *connectionPool) remove(place *list.Element) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.open.Remove(place)
}

// pooledListener counts every connection in a pool until it is closed.
type pooledListener struct {
	net.Listener
	pool *connectionPool
}

func (l pooledListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &pooledConnection{connection, l.pool, l.pool.add(connection)}, nil
}

type pooledConnection struct {
	net.Conn
	pool  *connectionPool
	place *list.Element
}

func (c *pooledConnection) Close() error {
	c.pool.remove(c.place)
	return c.Conn.Close()
}
