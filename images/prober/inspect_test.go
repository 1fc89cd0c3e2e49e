package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestReadKubeProxy(t *testing.T) {
	bit, other := 14, 13
	for name, c := range map[string]struct {
		answer string
		want   *kubeProxyFacts
	}{
		"fields of the API": {
			`{"kubeproxy.config.k8s.io": {"mode": "iptables", "detectLocalMode": "ClusterCIDR", "clusterCIDR": "10.244.0.0/16,fd00::/48", "iptables": {"masqueradeBit": 14}}}`,
			&kubeProxyFacts{"iptables", "ClusterCIDR", []string{"10.244.0.0/16", "fd00::/48"}, &bit},
		},
		"fields of Go": {
			`{"kubeproxy.config.k8s.io": {"Mode": "ipvs", "DetectLocalMode": "NodeCIDR", "ClusterCIDR": "", "IPTables": {"MasqueradeBit": 14}}}`,
			&kubeProxyFacts{"ipvs", "NodeCIDR", []string{}, &bit},
		},
		"list of CIDRs, and the bit of nftables": {
			`{"kubeproxy.config.k8s.io": {"Mode": "nftables", "DetectLocal": {"ClusterCIDRs": ["10.244.0.0/16"]}, "IPTables": {"MasqueradeBit": 14}, "NFTables": {"MasqueradeBit": 13}}}`,
			&kubeProxyFacts{"nftables", "", []string{"10.244.0.0/16"}, &other},
		},
		"another program": {`{"other": {}}`, nil},
		"invalid JSON":    {`<html>`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/configz" {
					fmt.Fprint(w, c.answer)
				}
			}))
			defer server.Close()
			got, err := readKubeProxy(context.Background(), server.URL)
			if (err != nil) != (c.want == nil) {
				t.Fatalf("error %v", err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, not %+v", got, c.want)
			}
		})
	}
}

func TestReadKubeProxyThatDoesNotRun(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if facts, err := readKubeProxy(context.Background(), server.URL); err == nil {
		t.Errorf("got %+v", facts)
	}
}

func TestCNIFiles(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "10-canal.conflist"), `{"plugins": [{"type": "calico"}, {"type": "portmap"}]}`, 0o600)
	write(t, filepath.Join(folder, "20-single.conf"), `{"type": "bridge"}`, 0o600)
	if err := os.Mkdir(filepath.Join(folder, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere/else.conflist", filepath.Join(folder, "30-link.conflist")); err != nil {
		t.Fatal(err)
	}
	files, err := cniFiles(folder)
	want := map[string][]string{"10-canal.conflist": {"calico", "portmap"}, "20-single.conf": {"bridge"}, "30-link.conflist": {}}
	if err != nil || !reflect.DeepEqual(files, want) {
		t.Errorf("got %v, %v", files, err)
	}
	if _, err := cniFiles(filepath.Join(folder, "missing")); err == nil {
		t.Error("a missing folder is no error")
	}
}

func TestChainedPlugins(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "portmap"), "#!/bin/sh\n[ \"$CNI_COMMAND\" = VERSION ] && echo '{\"supportedVersions\": [\"0.4.0\", \"1.0.0\"]}'\n", 0o700)
	write(t, filepath.Join(folder, "bandwidth"), "#!/bin/sh\nexit 3\n", 0o700)
	got := chainedPlugins(folder, []string{"calico", "portmap", "bandwidth", "../../missing"})
	if !reflect.DeepEqual(got["portmap"].Versions, []string{"0.4.0", "1.0.0"}) {
		t.Errorf("portmap: %+v", got["portmap"])
	}
	if got["bandwidth"].Error == "" || got["../../missing"].Error == "" || len(got) != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestHasNftables(t *testing.T) {
	folder := t.TempDir()
	missing := filepath.Join(folder, "missing")
	config := func(text string) string {
		file := filepath.Join(folder, "config.gz")
		handle, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer handle.Close()
		compressed := gzip.NewWriter(handle)
		fmt.Fprint(compressed, text)
		if err := compressed.Close(); err != nil {
			t.Fatal(err)
		}
		return file
	}
	symbols := filepath.Join(folder, "kallsyms")
	write(t, symbols, "0000 t other\n0000 t nf_tables_newtable\t[nf_tables]\n", 0o600)
	for name, c := range map[string]struct {
		got  *bool
		want string
	}{
		"a module":           {hasNftables(config("CONFIG_X=y\nCONFIG_NF_TABLES=m\n"), missing), "true"},
		"not configured":     {hasNftables(config("# CONFIG_NF_TABLES is not set\n"), symbols), "false"},
		"no configuration":   {hasNftables(missing, symbols), "true"},
		"nothing to be read": {hasNftables(missing, missing), "unknown"},
	} {
		text := "unknown"
		if c.got != nil {
			text = fmt.Sprint(*c.got)
		}
		if text != c.want {
			t.Errorf("%s: %s, not %s", name, text, c.want)
		}
	}
}

func TestIsPodLink(t *testing.T) {
	address := []string{"192.0.2.1/24"}
	for _, c := range []struct {
		link link
		want bool
	}{
		{link{Name: "cali0123456789a"}, true},
		{link{Name: "lxc0123456789ab"}, true},
		{link{Name: "veth1"}, true},
		{link{Name: "veth0", Addresses: address}, false},
		{link{Name: "eth0", Addresses: address}, false},
		{link{Name: "flannel.1"}, false},
	} {
		if got := isPodLink(c.link); got != c.want {
			t.Errorf("%+v: %v, not %v", c.link, got, c.want)
		}
	}
}

func TestRPFilters(t *testing.T) {
	values := rpFilters([]link{{Name: "lo"}, {Name: "no-such-link"}})
	for _, name := range []string{"all", "default", "lo"} {
		if _, found := values[name]; !found {
			t.Errorf("no value of %s in %v", name, values)
		}
	}
	if len(values) != 3 {
		t.Errorf("got %v", values)
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
