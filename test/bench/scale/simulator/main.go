// simulator plays the machines of a large cluster for a real API server: containers that start and end, their addresses in
// the network that their node is on, and what the pods of a migration say of their node. Nodes themselves, with their leases,
// are kwok's; scheduler and controllers are Kubernetes' own.
//
// usage: simulator --kubeconfig FILE --nodes N --certificate FILE --key FILE --host ADDRESS
//
// It makes the nodes, says "ready" on standard output once all of them are there, and goes on until it is told to end.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "of an administrator")
	count := flag.Int("nodes", 0, "how many nodes")
	certificate := flag.String("certificate", "", "for the kubelets' own API")
	key := flag.String("key", "", "of the certificate")
	host := flag.String("host", "", "address at which the API server reaches this program")
	flag.Parse()
	log.SetFlags(log.Ltime)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	// As many kubelets as there are share this program's connection: no limit of one client's.
	config.QPS, config.Burst = -1, 0
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	config.UserAgent = "simulator"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	s := &simulator{client: client, metadata: objects, machines: newMachines(*count), host: *host}
	go func() { log.Fatal(s.serveLogs(*certificate, *key)) }()
	if err := s.makeNodes(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	s.run(ctx)
}

// simulator is what all machines share.
type simulator struct {
	client   kubernetes.Interface
	metadata metadata.Interface
	machines map[string]*machine
	host     string
}
