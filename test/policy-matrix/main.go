// matrix samples the flows between the pods of a lab continuously, and compares the verdicts of the network with those that
// policies require. It runs next to the lab and opens its sockets in the network namespaces of the pods: the packets are
// real, the pods need no program, and all times come from one clock.
//
// usage: matrix SPEC.json; commands are lines on standard input, and each is answered with one line of JSON:
//
//	stage NAME  ends a stage and starts the next one; the answer contains the results of the ended stage
//	mark        resets the counters of samples of all current flows; answered like "state"
//	state       returns the current state
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

// spec describes the lab and the flows that are sampled.
type spec struct {
	// PID of process 1 of each machine, in whose network namespace the node's own sockets are opened.
	Machines map[string]int `json:"machines"`
	// Name of a machine that is not a node: it stands for clients outside the cluster.
	World string `json:"world"`
	// Pod CIDR of Cilium.
	TargetCIDR string `json:"targetCidr"`
	// Minimum time between two samples of a flow in ms: see pace.go.
	IntervalMs int `json:"intervalMs"`
	// Port that every policy allows: it shows whether packets arrive at all.
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
	// Expected verdicts: for ends on the same node, and for ends on different nodes.
	AllowedSame  bool `json:"allowedSame"`
	AllowedOther bool `json:"allowedOther"`
	// True when only rules of the destination deny the flow.
	ByDestination bool `json:"byDestination"`
	// True when a rule with Deny that selects the other end by labels decides on the flow.
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
	var lab spec
	if err := json.Unmarshal(text, &lab); err != nil {
		log.Fatal(err)
	}
	m, err := newMatrix(lab)
	if err != nil {
		log.Fatal(err)
	}
	go m.watch()
	go m.watchStarvation()
	go m.pace.update()
	stage := "start"
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		next, found := strings.CutPrefix(lines.Text(), "stage ")
		var answer any
		switch {
		case found:
			answer = m.results.endStage(stage, time.Now())
			stage = next
		case lines.Text() == "mark":
			// Includes the pods that run at the time of the command.
			m.waitForScans(2)
			m.results.mark()
			answer = m.results.state()
		case lines.Text() == "state":
			answer = m.results.state()
		default:
			log.Fatalf("unknown command %q", lines.Text())
		}
		line, _ := json.Marshal(answer)
		fmt.Println(string(line))
	}
}
