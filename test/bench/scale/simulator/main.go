// simulator simulates the machines of a large cluster for a real API server: containers that start and stop, their addresses
// in the network of their node, and the results of the migration's pods. kwok simulates the nodes with their leases; the
// scheduler and the controllers are those of Kubernetes.
//
// usage: simulator --kubeconfig FILE --nodes N --certificate FILE --key FILE --host ADDRESS
//
// It creates the nodes, prints "ready" when all of them exist, and runs until SIGTERM.
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
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file of an administrator")
	count := flag.Int("nodes", 0, "number of nodes")
	certificate := flag.String("certificate", "", "certificate of the kubelets' API")
	key := flag.String("key", "", "key of the certificate")
	host := flag.String("host", "", "address at which the API server reaches this program")
	flag.Parse()
	log.SetFlags(log.Ltime)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	// All kubelets share this connection, so the request limit of a single client does not apply.
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
	if err := s.createNodes(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	s.run(ctx)
}

// simulator contains what all machines share.
type simulator struct {
	client   kubernetes.Interface
	metadata metadata.Interface
	machines map[string]*machine
	host     string
}
