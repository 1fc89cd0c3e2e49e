package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
)

// canalTable is a table that Flannel or Felix creates when it uses nftables. Both delete and create it as a whole.
type canalTable struct {
	family nftables.TableFamily
	name   string
	// Matches the names of all chains that its owner creates in it.
	chains *regexp.Regexp
}

var (
	// flannel pkg/trafficmngr/nftables, v0.28.
	flannelChains = regexp.MustCompile(`^(forward|postrtg)$`)
	// felix/nftables of Calico: the expression by which Felix recognizes its own chains.
	felixChains = regexp.MustCompile(`^(cali|nat|filter|mangle|raw)-`)
	anyChain    = regexp.MustCompile(``)
)

var canalTables = []canalTable{
	{nftables.TableFamilyIPv4, "flannel-ipv4", flannelChains},
	{nftables.TableFamilyIPv6, "flannel-ipv6", flannelChains},
	{nftables.TableFamilyIPv4, "calico", felixChains},
	{nftables.TableFamilyIPv6, "calico", felixChains},
	// Felix v3.32 and newer creates this one also when it uses iptables. Its name is Calico's own, so that it is enough.
	{nftables.TableFamilyARP, "calico-arp", anyChain},
}

// canalChain matches the names of Canal's chains in the tables that it shares with other programs: those of iptables, in its
// variant that writes to nftables.
var canalChain = regexp.MustCompile(`^(cali-|FLANNEL-)`)

// familyNames contains the names of families as the command nft prints them.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyARP: "arp", nftables.TableFamilyBridge: "bridge", nftables.TableFamilyNetdev: "netdev",
}

// Maximum length of a report, in bytes: a termination message holds 4096.
const maxReport = 3500

// cleanTables removes Canal's tables from the node, and writes what is left over to $REPORT_FILE, one item per line.
func cleanTables(context.Context) error {
	leftovers, err := removeCanalTables()
	if err != nil {
		return err
	}
	report := strings.Join(leftovers, "\n")
	return os.WriteFile(valueOr("REPORT_FILE", "/dev/termination-log"), []byte(report[:min(len(report), maxReport)]), 0o644)
}

// removeCanalTables removes the tables of Canal, and returns what it then still finds of Canal. A table of Canal's name that
// contains a chain of another program is kept: it is not known to be Canal's.
func removeCanalTables() ([]string, error) {
	connection, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, chains, err := readTables(connection)
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		owned, found := findCanalTable(table)
		if !found || len(owned.foreignChains(chains)) > 0 {
			continue
		}
		connection.DelTable(table)
		// One table after the other: one that cannot be removed does not keep the others. What remains is reported below.
		if err := connection.Flush(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot remove the table %s: %v\n", tableText(table), err)
		}
	}
	if tables, chains, err = readTables(connection); err != nil {
		return nil, err
	}
	return canalLeftovers(tables, chains), nil
}

// canalLeftovers returns the tables of Canal, and its chains in other tables, one text each.
func canalLeftovers(tables []*nftables.Table, chains []*nftables.Chain) []string {
	leftovers := []string{}
	for _, table := range tables {
		owned, found := findCanalTable(table)
		if !found {
			continue
		}
		text := "table " + tableText(table)
		if foreign := owned.foreignChains(chains); len(foreign) > 0 {
			text += ", which was kept because of chains that are not Canal's: " + strings.Join(foreign, ", ")
		}
		leftovers = append(leftovers, text)
	}
	for _, chain := range chains {
		if _, found := findCanalTable(chain.Table); !found && canalChain.MatchString(chain.Name) {
			leftovers = append(leftovers, fmt.Sprintf("chain %s %s", tableText(chain.Table), chain.Name))
		}
	}
	return leftovers
}

func findCanalTable(table *nftables.Table) (canalTable, bool) {
	index := slices.IndexFunc(canalTables, func(owned canalTable) bool {
		return owned.family == table.Family && owned.name == table.Name
	})
	if index < 0 {
		return canalTable{}, false
	}
	return canalTables[index], true
}

// foreignChains returns the names of the table's chains that its owner does not create.
func (t canalTable) foreignChains(chains []*nftables.Chain) []string {
	names := []string{}
	for _, chain := range chains {
		if chain.Table.Family == t.family && chain.Table.Name == t.name && !t.chains.MatchString(chain.Name) {
			names = append(names, chain.Name)
		}
	}
	return names
}

// readTables reads all tables and all chains. The kernel interrupts a read when another program writes meanwhile, so that it
// is repeated.
func readTables(connection *nftables.Conn) ([]*nftables.Table, []*nftables.Chain, error) {
	var failure error
	for range 10 {
		tables, err1 := connection.ListTables()
		chains, err2 := connection.ListChains()
		if failure = errors.Join(err1, err2); failure == nil {
			return tables, chains, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return nil, nil, fmt.Errorf("cannot read the tables of nftables: %w", failure)
}

func tableText(table *nftables.Table) string {
	family, found := familyNames[table.Family]
	if !found {
		family = fmt.Sprintf("family %d", table.Family)
	}
	return family + " " + table.Name
}
