package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Port of the kubelets' API, which kwok's stage for nodes writes into the status.
const kubeletPort = "10250"

// serveLogs answers requests for logs on behalf of all kubelets. Only the logs of pods that inspect nodes are read: they
// contain the facts about the node.
func (s *simulator) serveLogs(certificate, key string) error {
	handler := http.NewServeMux()
	handler.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		pod, err := s.client.CoreV1().Pods(r.PathValue("namespace")).Get(r.Context(), r.PathValue("pod"), metav1.GetOptions{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		m := s.machines[pod.Spec.NodeName]
		if m == nil || pod.Labels["app"] != "inspect" {
			return
		}
		text, _ := json.Marshal(m.facts(pod))
		fmt.Fprintf(w, "%s\n", text)
	})
	return http.ListenAndServeTLS(net.JoinHostPort(s.host, kubeletPort), certificate, key, handler)
}

// facts returns the output of a pod that inspects the node; the fields are those of images/prober/inspect.go.
func (m *machine) facts(pod *corev1.Pod) map[string]any {
	type node struct{ Node, IP string }
	peers := []node{}
	for _, variable := range pod.Spec.Containers[0].Env {
		if variable.Name == "PEERS" {
			_ = json.Unmarshal([]byte(variable.Value), &peers)
		}
	}
	reached := []map[string]string{}
	for _, peer := range peers {
		reached = append(reached, map[string]string{"node": peer.Node})
	}
	gateway := strings.TrimSuffix(m.cidr(canal).String(), "/24")
	return map[string]any{
		"btf": true, "rpFilter": map[string]int{"all": 0, "default": 0},
		"links": []map[string]any{
			{"name": "eth0", "mtu": 1500, "up": true, "addresses": []string{m.ip.String() + "/16"}},
			{"name": "flannel.1", "mtu": 1450, "up": true, "addresses": []string{gateway + "/32"}, "kind": "vxlan", "vni": 1, "port": 8472},
		},
		"routes":   []string{"172.20.0.0/16 dev eth0", m.cidr(canal).String() + " dev flannel.1"},
		"cniFiles": map[string][]string{"10-canal.conflist": {"calico", "portmap", "bandwidth"}},
		"peers":    reached,
	}
}
