package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// kubeProxyAddress is the default address of kube-proxy's metrics, which also serves its configuration (kubernetes
// cmd/kube-proxy, v1.36).
const kubeProxyAddress = "http://127.0.0.1:10249"

// kubeProxyFacts contains the configuration that kube-proxy runs with, from its file or its flags.
type kubeProxyFacts struct {
	Mode            string   `json:"mode"`
	DetectLocalMode string   `json:"detectLocalMode"`
	ClusterCIDRs    []string `json:"clusterCidrs"`
	MasqueradeBit   *int     `json:"masqueradeBit,omitempty"`
}

// kubeProxyConfig contains the fields of the configuration that kube-proxy reports. Older versions report the names of Go
// fields, which differ in case only, and others keep the CIDRs in DetectLocal: the decoder ignores case.
type kubeProxyConfig struct {
	Mode            string
	DetectLocalMode string
	ClusterCIDR     string
	DetectLocal     struct{ ClusterCIDRs []string }
	IPTables        struct{ MasqueradeBit *int }
	NFTables        struct{ MasqueradeBit *int }
}

// readKubeProxy asks the kube-proxy of this node for its configuration.
func readKubeProxy(ctx context.Context, address string) (*kubeProxyFacts, error) {
	text, err := readAll(ctx, address+"/configz")
	if err != nil {
		return nil, err
	}
	var answer map[string]kubeProxyConfig
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("configuration of kube-proxy: %w", err)
	}
	config, found := answer["kubeproxy.config.k8s.io"]
	if !found {
		return nil, errors.New("the program at the metrics port of kube-proxy reports no configuration of kube-proxy")
	}
	facts := &kubeProxyFacts{
		Mode: config.Mode, DetectLocalMode: config.DetectLocalMode, ClusterCIDRs: config.DetectLocal.ClusterCIDRs,
		MasqueradeBit: config.IPTables.MasqueradeBit,
	}
	if config.Mode == "nftables" {
		facts.MasqueradeBit = config.NFTables.MasqueradeBit
	}
	if config.ClusterCIDR != "" {
		facts.ClusterCIDRs = strings.Split(config.ClusterCIDR, ",")
	}
	if facts.ClusterCIDRs == nil {
		facts.ClusterCIDRs = []string{}
	}
	return facts, nil
}

// readAll reads an HTTP resource of at most 1 MiB within 2 s.
func readAll(parent context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(parent, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}
