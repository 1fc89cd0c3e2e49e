package main

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"strings"
)

// hasNftables returns whether the kernel has nftables; nil when that is unknown: without a capability, a pod cannot ask
// for tables.
func hasNftables(configFile, symbolsFile string) *bool {
	yes, no := true, false
	if file, err := os.Open(configFile); err == nil {
		defer file.Close()
		if config, err := gzip.NewReader(file); err == nil {
			if line := findLine(config, "CONFIG_NF_TABLES=", "# CONFIG_NF_TABLES is not set"); line != "" {
				if strings.HasPrefix(line, "#") {
					return &no
				}
				return &yes
			}
		}
	}
	if file, err := os.Open(symbolsFile); err == nil {
		defer file.Close()
		if lineContains(file, " nf_tables_newtable") {
			return &yes
		}
	}
	return nil
}

// findLine returns the first line that begins with one of the prefixes; empty when there is none.
func findLine(text io.Reader, prefixes ...string) string {
	for lines := bufio.NewScanner(text); lines.Scan(); {
		for _, prefix := range prefixes {
			if strings.HasPrefix(lines.Text(), prefix) {
				return lines.Text()
			}
		}
	}
	return ""
}

// lineContains returns true when a line contains the text.
func lineContains(file io.Reader, text string) bool {
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			return true
		}
	}
	return false
}
