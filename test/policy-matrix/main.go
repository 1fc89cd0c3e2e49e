// matrix sends packets from every pod of a lab to every other one that it is told of, again and again, and compares who
// is let through with what policies say. It runs beside the lab and opens its sockets in the pods' own network
// namespaces: the packets are real, the pods need nothing in them, and one clock tells when what was wrong.
//
// usage: matrix SPEC.json; commands are lines on standard input, and each is answered with one line of JSON:
//
//	stage NAME  ends a stage and begins the next one; answered with what was seen in the one that is over
//	mark        begins to count how often every flow that there is now is judged; answered as "look"
//	look        answered with how things are just now
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
	// Whether a rule with Deny, which selects the other end by its labels, decides on this flow.
	DenyByLabels bool `json:"denyByLabels"`
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
		var answer any
		switch {
		case found:
			answer = m.book.turn(stage, time.Now())
			stage = next
		case lines.Text() == "mark":
			// With the pods that run by now.
			m.waitForLooks(2)
			m.book.mark()
			answer = m.book.glance()
		case lines.Text() == "look":
			answer = m.book.glance()
		default:
			log.Fatalf("cannot read %q", lines.Text())
		}
		line, _ := json.Marshal(answer)
		fmt.Println(string(line))
	}
}
