package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Name of our nftables table on each node.
const natTable = "cni-live-migration"

// Directly before all other source translation (NF_IP_PRI_NAT_SRC, 100): a packet that is translated here is not evaluated
// by later chains, in any order in which flannel, Felix and Cilium insert their rules.
const beforeMasquerading = nftables.ChainPriority(90)

// kube-proxy's mark for packets that it masquerades, unless its --iptables-masquerade-bit was changed (kubernetes
// pkg/proxy/iptables). Replies to node ports must return through the node that translated the request.
const kubeProxyMark = 0x4000

// maintainExemption writes the exemption, and restores it when it was changed, until the context ends. The exemption stays on
// the node then: a process ends whenever its pod is replaced, and without the exemption, connections that begin before the
// next one runs would keep a translated address for their whole life. Only removeExemption removes it.
func maintainExemption(ctx context.Context) error {
	pairs, err := parsePairs(os.Getenv("SOURCE_CIDR"), os.Getenv("TARGET_CIDR"))
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if written, err := ensureExemption(pairs); err != nil {
			return err
		} else if written {
			slog.Info("exemption from address translation written", "pairs", pairs)
		}
		if err := markReady(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	return nil
}

// removeExemption removes the exemption, verifies that it is removed, and waits until the context ends.
func removeExemption(ctx context.Context) error {
	if err := dropExemption(); err != nil {
		return err
	}
	if err := markReady(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// pair is one direction between the two networks.
type pair struct{ from, to netip.Prefix }

func (p pair) String() string { return p.from.String() + " → " + p.to.String() }

// parsePairs returns both directions between two networks of one address family.
func parsePairs(source, target string) ([]pair, error) {
	from, err := netip.ParsePrefix(source)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_CIDR: %w", err)
	}
	to, err := netip.ParsePrefix(target)
	if err != nil {
		return nil, fmt.Errorf("TARGET_CIDR: %w", err)
	}
	if from.Addr().Is4() != to.Addr().Is4() {
		return nil, fmt.Errorf("%s and %s are of different address families", from, to)
	}
	return []pair{{from.Masked(), to.Masked()}, {to.Masked(), from.Masked()}}, nil
}

// family contains the parts of a rule that differ between IPv4 and IPv6.
type family struct {
	table                          nftables.TableFamily
	nat                            uint32
	sourceOffset, destinationStart uint32
	length                         uint32
}

func addressFamily(address netip.Addr) family {
	if address.Is4() {
		return family{nftables.TableFamilyIPv4, unix.NFPROTO_IPV4, 12, 16, 4}
	}
	return family{nftables.TableFamilyIPv6, unix.NFPROTO_IPV6, 8, 24, 16}
}

// rule returns the expressions that keep the source address of the pair's packets. The packet is translated to its own
// address, after which no other chain translates it.
func (p pair) rule() []expr.Any {
	f := addressFamily(p.from.Addr())
	load := func(offset uint32) *expr.Payload {
		return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.length}
	}
	within := func(offset uint32, prefix netip.Prefix) []expr.Any {
		return []expr.Any{
			load(offset),
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: f.length, Mask: mask(prefix), Xor: make([]byte, f.length)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: prefix.Addr().AsSlice()},
		}
	}
	rule := append(within(f.sourceOffset, p.from), within(f.destinationStart, p.to)...)
	mark := binaryutil.NativeEndian.PutUint32(kubeProxyMark)
	none := binaryutil.NativeEndian.PutUint32(0)
	return append(rule,
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mark, Xor: none},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: none},
		load(f.sourceOffset),
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: f.nat, RegAddrMin: 1},
	)
}

func mask(prefix netip.Prefix) []byte {
	bytes := make([]byte, prefix.Addr().BitLen()/8)
	for bit := range prefix.Bits() {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return bytes
}

// ensureExemption writes the table atomically unless its content is already correct. It returns true when it wrote.
func ensureExemption(pairs []pair) (bool, error) {
	connection, err := nftables.New()
	if err != nil {
		return false, err
	}
	table := &nftables.Table{Name: natTable, Family: addressFamily(pairs[0].from.Addr()).table}
	chain := &nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityRef(beforeMasquerading),
	}
	rules, err := connection.GetRules(table, chain)
	if err == nil && rulesMatch(rules, pairs) {
		return false, nil
	}
	// Added, removed and added again in one transaction: removing a table that does not exist would be an error.
	connection.AddTable(table)
	connection.DelTable(table)
	connection.AddTable(table)
	connection.AddChain(chain)
	for _, direction := range pairs {
		connection.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: direction.rule()})
	}
	if err := connection.Flush(); err != nil {
		return false, fmt.Errorf("cannot write the table %s: %w", natTable, err)
	}
	return true, nil
}

// rulesMatch compares the rules that the kernel returns with the expected ones.
func rulesMatch(rules []*nftables.Rule, pairs []pair) bool {
	if len(rules) != len(pairs) {
		return false
	}
	for i, rule := range rules {
		expected := pairs[i].rule()
		if len(rule.Exprs) != len(expected) {
			return false
		}
		for j, expression := range rule.Exprs {
			if reflect.TypeOf(expression) != reflect.TypeOf(expected[j]) {
				return false
			}
			if compare, ok := expression.(*expr.Cmp); ok && !reflect.DeepEqual(compare, expected[j]) {
				return false
			}
		}
	}
	return true
}

// dropExemption removes the tables of both families, and returns an error for each that it cannot remove.
func dropExemption() error {
	connection, err := nftables.New()
	if err != nil {
		return err
	}
	tables, err := connection.ListTables()
	if err != nil {
		return err
	}
	failures := []error{}
	for _, table := range tables {
		if table.Name != natTable {
			continue
		}
		connection.DelTable(table)
		if err := connection.Flush(); err != nil {
			failures = append(failures, fmt.Errorf("cannot remove the table %s: %w", natTable, err))
		}
	}
	return errors.Join(failures...)
}
