// One binary for containerd and its client: called "ctr", it is the client. What they have in common is linked and
// stored once. The shim has a binary of its own, because every pod runs one, and it is small.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	"github.com/containerd/containerd/v2/cmd/containerd/command"
	client "github.com/containerd/containerd/v2/cmd/ctr/app"
)

func main() {
	program := command.App()
	if filepath.Base(os.Args[0]) == "ctr" {
		program = client.New()
	}
	if err := program.Run(os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}
