// matrix sends packets from every pod of a lab to every other one that it is told of, again and again, and compares who
// is let through with what policies say. It runs beside the lab and opens its sockets in the pods' own network
// namespaces: the packets are real, the pods need nothing in them, and one clock tells when what was wrong.
//
// usage: matrix SPEC.json; a line "stage NAME" on standard input ends a stage and begins the next one; what was seen is
// written to standard output, one line of JSON a stage.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"
)

// spec says what is to be tried.
type spec struct {
	// Process 1 of each machine, whose network a node's own packets come from.
	Machines map[string]int `json:"machines"`
	// A machine that is no node: the world outside.
	World string `json:"world"`
	// Pod CIDR of Cilium.
	TargetCIDR string `json:"targetCidr"`
	// Milliseconds between two samples of a flow, at least: see pace.go.
	IntervalMs int `json:"intervalMs"`
	// TCP port that every policy lets through: whether packets arrive at all.
	Control int     `json:"control"`
	Checks  []check `json:"checks"`
}

// check is one kind of flow: from every pod of one group to every pod of another.
type check struct {
	Name     string `json:"name"`
	From     string `json:"from"`
	To       string `json:"to"`
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
	// Whether it must be let through, when both ends are on one node and when they are not.
	AllowedSame  bool `json:"allowedSame"`
	AllowedOther bool `json:"allowedOther"`
	// Whether what is denied is denied by the destination's rules only.
	ByDestination bool `json:"byDestination"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: matrix SPEC.json")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var wanted spec
	if err := json.Unmarshal(text, &wanted); err != nil {
		log.Fatal(err)
	}
	m, err := newMatrix(wanted)
	if err != nil {
		log.Fatal(err)
	}
	go m.watch()
	go m.feel()
	go m.pace.keep()
	stage := "start"
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		next, found := strings.CutPrefix(lines.Text(), "stage ")
		if !found {
			log.Fatalf("cannot read %q", lines.Text())
		}
		line, _ := json.Marshal(m.book.turn(stage, time.Now()))
		fmt.Println(string(line))
		stage = next
	}
}
