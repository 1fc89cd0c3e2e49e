package main

import (
	"testing"

	"github.com/google/nftables/expr"
)

func TestPairs(t *testing.T) {
	for _, test := range []struct {
		source, target string
		ok             bool
	}{
		{"10.244.0.0/16", "10.245.0.0/16", true},
		{"fd00:1::/64", "fd00:2::/64", true},
		{"10.244.0.0/16", "fd00:2::/64", false},
		{"10.244.0.0", "10.245.0.0/16", false},
	} {
		pairs, err := parsePairs(test.source, test.target)
		if (err == nil) != test.ok {
			t.Errorf("%s, %s: %v", test.source, test.target, err)
		}
		if err != nil {
			continue
		}
		if len(pairs) != 2 || pairs[0].from != pairs[1].to || pairs[0].to != pairs[1].from {
			t.Errorf("not both directions: %v", pairs)
		}
		for _, pair := range pairs {
			if load := pair.rule()[0].(*expr.Payload); int(load.Len) != pair.from.Addr().BitLen()/8 {
				t.Errorf("%s: compares %d bytes", pair, load.Len)
			}
		}
	}
}

func TestMask(t *testing.T) {
	pairs, err := parsePairs("10.244.0.0/14", "10.200.8.0/21")
	if err != nil {
		t.Fatal(err)
	}
	if got := mask(pairs[0].from); string(got) != "\xff\xfc\x00\x00" {
		t.Errorf("/14: %x", got)
	}
	if got := mask(pairs[0].to); string(got) != "\xff\xff\xf8\x00" {
		t.Errorf("/21: %x", got)
	}
}
