package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/nftables"
)

// enterNamespace moves the test into a network namespace of its own, which ends with it.
func enterNamespace(t *testing.T) *nftables.Conn {
	t.Helper()
	isolateNetwork(t)
	connection, err := nftables.New()
	must(t, err)
	return connection
}

// writeTable creates a table with chains.
func writeTable(t *testing.T, connection *nftables.Conn, family nftables.TableFamily, name string, chains ...string) {
	t.Helper()
	table := connection.AddTable(&nftables.Table{Family: family, Name: name})
	for _, chain := range chains {
		connection.AddChain(&nftables.Chain{Table: table, Name: chain})
	}
	must(t, connection.Flush())
}

// tableNames returns the tables of the namespace, as the command nft prints them.
func tableNames(t *testing.T, connection *nftables.Conn) []string {
	t.Helper()
	tables, err := connection.ListTables()
	must(t, err)
	names := []string{}
	for _, table := range tables {
		names = append(names, tableText(table))
	}
	slices.Sort(names)
	return names
}

// runCleanTables returns the report, one item per line.
func runCleanTables(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report")
	t.Setenv("REPORT_FILE", file)
	must(t, cleanTables(t.Context()))
	text, err := os.ReadFile(file)
	must(t, err)
	return string(text)
}

func expectTables(t *testing.T, connection *nftables.Conn, expected ...string) {
	t.Helper()
	if names := tableNames(t, connection); !slices.Equal(names, expected) {
		t.Errorf("tables %q instead of %q", names, expected)
	}
}

func TestTablesOfCanalAreRemovedAndNoOthers(t *testing.T) {
	connection := enterNamespace(t)
	writeTable(t, connection, nftables.TableFamilyIPv4, "flannel-ipv4", "forward", "postrtg")
	writeTable(t, connection, nftables.TableFamilyIPv6, "flannel-ipv6")
	writeTable(t, connection, nftables.TableFamilyIPv4, "calico", "filter-FORWARD", "filter-cali-FORWARD", "nat-POSTROUTING")
	writeTable(t, connection, nftables.TableFamilyIPv6, "calico", "raw-PREROUTING", "mangle-INPUT")
	writeTable(t, connection, nftables.TableFamilyARP, "calico-arp", "OUTPUT", "filter-cali-arp-dispatch")
	// Of others: kube-proxy, this project, iptables, and a table in another family whose name is that of a table of Canal.
	writeTable(t, connection, nftables.TableFamilyIPv4, "kube-proxy", "filter-forward", "nat-postrouting", "services")
	writeTable(t, connection, nftables.TableFamilyIPv4, natTable, "postrouting")
	writeTable(t, connection, nftables.TableFamilyIPv4, "filter", "FORWARD", "CILIUM_FORWARD")
	writeTable(t, connection, nftables.TableFamilyINet, "calico", "filter-FORWARD")
	others := []string{"inet calico", "ip cni-live-migration", "ip filter", "ip kube-proxy"}

	// A second run finds its work done.
	for range 2 {
		if report := runCleanTables(t); report != "" {
			t.Errorf("reported as left over: %q", report)
		}
		expectTables(t, connection, others...)
	}
}

func TestATableWithChainsOfOthersIsKeptAndReported(t *testing.T) {
	connection := enterNamespace(t)
	writeTable(t, connection, nftables.TableFamilyIPv4, "calico", "filter-FORWARD", "own-rules")
	writeTable(t, connection, nftables.TableFamilyIPv4, "flannel-ipv4", "postrtg")

	report := runCleanTables(t)

	if report != "table ip calico, which was kept because of chains that are not Canal's: own-rules" {
		t.Errorf("reported: %q", report)
	}
	expectTables(t, connection, "ip calico")
}

// The script of the node removes these with iptables, which refuses a table that other programs have changed.
func TestChainsOfCanalInTablesOfIptablesAreReported(t *testing.T) {
	connection := enterNamespace(t)
	writeTable(t, connection, nftables.TableFamilyIPv4, "filter", "FORWARD", "cali-FORWARD", "FLANNEL-FWD", "KUBE-FORWARD")
	writeTable(t, connection, nftables.TableFamilyIPv6, "nat", "cali-POSTROUTING")

	report := runCleanTables(t)

	if report != "chain ip filter cali-FORWARD\nchain ip filter FLANNEL-FWD\nchain ip6 nat cali-POSTROUTING" {
		t.Errorf("reported: %q", report)
	}
	expectTables(t, connection, "ip filter", "ip6 nat")
}

func TestALongReportFitsIntoATerminationMessage(t *testing.T) {
	connection := enterNamespace(t)
	chains := []string{}
	for index := range 200 {
		chains = append(chains, "cali-chain-with-a-long-name-"+string(rune('a'+index%26))+string(rune('a'+index/26)))
	}
	writeTable(t, connection, nftables.TableFamilyIPv4, "filter", chains...)

	if report := runCleanTables(t); len(report) != maxReport {
		t.Errorf("%d bytes", len(report))
	}
}
