// One binary for Cilium's agent and the command that talks to it: called "cilium-agent", it is the agent. What they have
// in common is linked and stored once. The operator has a binary of its own, because the command's settings are read
// in every program that is not the agent.
package main

import (
	"os"
	"path/filepath"

	client "github.com/cilium/cilium/cilium-dbg/cmd"
	agent "github.com/cilium/cilium/daemon/cmd"
	"github.com/cilium/cilium/pkg/components"
	"github.com/cilium/cilium/pkg/hive"
)

func main() {
	if filepath.Base(os.Args[0]) != components.CiliumAgentName {
		client.Execute()
		return
	}
	agent.Execute(agent.NewAgentCmd(func() *hive.Hive { return hive.New(agent.Agent) }))
}
