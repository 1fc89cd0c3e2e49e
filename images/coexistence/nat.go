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

// The table of ours on each node.
const natTable = "cni-live-migration"

// Just before everybody else's source translation (NF_IP_PRI_NAT_SRC, 100): what is settled here is not looked at again,
// whichever of flannel, Felix and Cilium puts itself to the top of the others' table.
const beforeMasquerading = nftables.ChainPriority(90)

// kube-proxy's mark for what it has to masquerade, unless its --iptables-masquerade-bit was changed
// (kubernetes pkg/proxy/iptables). The answers to node ports have to come back through the node that translated them.
const kubeProxyMark = 0x4000

// keepExempt writes the exemption and keeps it, until the context ends; then it takes it away.
func keepExempt(ctx context.Context) error {
	pairs, err := pairsOf(os.Getenv("SOURCE_CIDR"), os.Getenv("TARGET_CIDR"))
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if written, err := ensureExemption(pairs); err != nil {
			return err
		} else if written {
			slog.Info("exempt from address translation", "pairs", pairs)
		}
		if err := isReady(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	return dropExemption()
}

// removeExemption takes the exemption away, makes sure that it is gone, and waits for the end.
func removeExemption(ctx context.Context) error {
	if err := dropExemption(); err != nil {
		return err
	}
	if err := isReady(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// pair is one direction between the two networks.
type pair struct{ from, to netip.Prefix }

func (p pair) String() string { return p.from.String() + " → " + p.to.String() }

// pairsOf are both directions between two networks of one family.
func pairsOf(source, target string) ([]pair, error) {
	from, err := netip.ParsePrefix(source)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_CIDR: %w", err)
	}
	to, err := netip.ParsePrefix(target)
	if err != nil {
		return nil, fmt.Errorf("TARGET_CIDR: %w", err)
	}
	if from.Addr().Is4() != to.Addr().Is4() {
		return nil, fmt.Errorf("%s and %s are not of one family", from, to)
	}
	return []pair{{from.Masked(), to.Masked()}, {to.Masked(), from.Masked()}}, nil
}

// family is what differs between IPv4 and IPv6 in a rule.
type family struct {
	table                          nftables.TableFamily
	nat                            uint32
	sourceOffset, destinationStart uint32
	length                         uint32
}

func familyOf(address netip.Addr) family {
	if address.Is4() {
		return family{nftables.TableFamilyIPv4, unix.NFPROTO_IPV4, 12, 16, 4}
	}
	return family{nftables.TableFamilyIPv6, unix.NFPROTO_IPV6, 8, 24, 16}
}

// rule leaves the source of the pair's packets as it is. The translation to itself says so in a way that ends the matter.
func (p pair) rule() []expr.Any {
	f := familyOf(p.from.Addr())
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

// ensureExemption makes the table be as it should, in one step, and tells whether it had to.
func ensureExemption(pairs []pair) (bool, error) {
	connection, err := nftables.New()
	if err != nil {
		return false, err
	}
	table := &nftables.Table{Name: natTable, Family: familyOf(pairs[0].from.Addr()).table}
	chain := &nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityRef(beforeMasquerading),
	}
	rules, err := connection.GetRules(table, chain)
	if err == nil && same(rules, pairs) {
		return false, nil
	}
	// Made, removed and made again at once: so that removing it is no error where it is not there.
	connection.AddTable(table)
	connection.DelTable(table)
	connection.AddTable(table)
	connection.AddChain(chain)
	for _, one := range pairs {
		connection.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: one.rule()})
	}
	if err := connection.Flush(); err != nil {
		return false, fmt.Errorf("cannot write the table %s: %w", natTable, err)
	}
	return true, nil
}

// same compares rules as the kernel tells them with those that should be.
func same(rules []*nftables.Rule, pairs []pair) bool {
	if len(rules) != len(pairs) {
		return false
	}
	for i, rule := range rules {
		wanted := pairs[i].rule()
		if len(rule.Exprs) != len(wanted) {
			return false
		}
		for j, one := range rule.Exprs {
			if reflect.TypeOf(one) != reflect.TypeOf(wanted[j]) {
				return false
			}
			if compare, ok := one.(*expr.Cmp); ok && !reflect.DeepEqual(compare, wanted[j]) {
				return false
			}
		}
	}
	return true
}

// dropExemption removes the tables of both families, and looks whether they are gone.
func dropExemption() error {
	connection, err := nftables.New()
	if err != nil {
		return err
	}
	tables, err := connection.ListTables()
	if err != nil {
		return err
	}
	left := []error{}
	for _, table := range tables {
		if table.Name != natTable {
			continue
		}
		connection.DelTable(table)
		if err := connection.Flush(); err != nil {
			left = append(left, fmt.Errorf("cannot remove the table %s: %w", natTable, err))
		}
	}
	return errors.Join(left...)
}
