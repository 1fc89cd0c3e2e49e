package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Labels that Cilium adds to a pod's own (pkg/k8s/apis/cilium.io/const.go of v1.20).
const (
	namespaceLabel       = "io.kubernetes.pod.namespace"
	namespaceMetaPrefix  = "io.cilium.k8s.namespace.labels"
	clusterLabel         = "io.cilium.k8s.policy.cluster"
	serviceAccountLabel  = "io.cilium.k8s.policy.serviceaccount"
	ciliumLabelPrefix    = "io.cilium.k8s"
	securityLabelsSource = "k8s"
	namedPortsLabel      = "gen:io.cilium.k8s.named-ports"
	labelValueMax        = 63
)

// labelRule says whether labels whose key begins with what the expression matches belong to an identity.
type labelRule struct {
	source string
	expr   *regexp.Regexp
	ignore bool
}

// labelFilter tells the labels of an identity from others, as Cilium's agents do (pkg/labelsfilter/filter.go of v1.20):
// the longest inclusion against the shortest exclusion that match.
type labelFilter struct {
	rules []labelRule
	// whether only labels that are included explicitly count: once the configuration includes any
	whitelist bool
}

// What agents begin with, before what the configuration adds (defaultLabelPrefixCfg).
var defaultLabelRules = []string{
	`reserved:.*`,
	regexp.QuoteMeta(namespaceLabel),
	regexp.QuoteMeta(namespaceMetaPrefix),
	regexp.QuoteMeta("app.kubernetes.io"),
	regexp.QuoteMeta(clusterLabel),
	regexp.QuoteMeta(serviceAccountLabel),
	`!io\.kubernetes`,
	`!kubernetes\.io`,
	`!` + regexp.QuoteMeta("statefulset.kubernetes.io/pod-name"),
	`!` + regexp.QuoteMeta("apps.kubernetes.io/pod-index"),
	`!` + regexp.QuoteMeta("batch.kubernetes.io/job-completion-index"),
	`!` + regexp.QuoteMeta("batch.kubernetes.io/controller-uid"),
	`!.*beta\.kubernetes\.io`,
	`!k8s\.io`,
	`!pod-template-generation`,
	`!pod-template-hash`,
	`!controller-revision-hash`,
	`!controller-uid`,
	`!annotation.*`,
	`!etcd_node`,
	`!topology\.kubernetes\.io`,
}

// newLabelFilter reads what the key "labels" of Cilium's configuration adds to the default.
func newLabelFilter(configured string) (*labelFilter, error) {
	filter := &labelFilter{}
	for _, text := range defaultLabelRules {
		if err := filter.add(text); err != nil {
			return nil, err
		}
	}
	for _, text := range strings.Fields(configured) {
		if err := filter.add(text); err != nil {
			return nil, err
		}
		if !filter.rules[len(filter.rules)-1].ignore {
			filter.whitelist = true
		}
	}
	return filter, nil
}

func (f *labelFilter) add(text string) error {
	source, pattern, found := strings.Cut(text, ":")
	if !found {
		source, pattern = "", text
	}
	pattern, ignore := strings.CutPrefix(pattern, "!")
	expr, err := regexp.Compile(pattern)
	if err != nil || pattern == "" {
		return fmt.Errorf("cannot read the label pattern %q of Cilium's configuration", text)
	}
	f.rules = append(f.rules, labelRule{source, expr, ignore})
	return nil
}

// counts tells whether a label of a pod belongs to its identity.
func (f *labelFilter) counts(key string) bool {
	included, ignored := 0, 0
	for _, rule := range f.rules {
		if rule.source != "" && rule.source != securityLabelsSource {
			continue
		}
		at := rule.expr.FindStringIndex(key)
		if at == nil || at[0] != 0 {
			continue
		}
		if length := at[1]; rule.ignore {
			if ignored == 0 || length < ignored {
				ignored = length
			}
		} else {
			included = max(included, length)
		}
	}
	return (!f.whitelist && ignored == 0) || included > ignored
}

// securityLabels are the labels of a pod's identity, as a CiliumIdentity has them: "k8s:app" → "web".
func (f *labelFilter) securityLabels(pod podFacts, namespaceLabels map[string]string, cluster string) map[string]string {
	all := map[string]string{}
	for key, value := range pod.labels {
		if !strings.HasPrefix(key, ciliumLabelPrefix) {
			all[key] = value
		}
	}
	for key, value := range namespaceLabels {
		all[namespaceMetaPrefix+"."+key] = value
	}
	all[namespaceLabel] = pod.namespace
	all[clusterLabel] = cluster
	if pod.serviceAccount != "" {
		all[serviceAccountLabel] = pod.serviceAccount
	}
	security := map[string]string{}
	for key, value := range all {
		if f.counts(key) {
			security[securityLabelsSource+":"+key] = value
		}
	}
	maps.Copy(security, namedPortLabels(pod.ports))
	return security
}

// namedPortLabels are the labels by which agents tell pods of one name but other ports apart
// (pkg/k8s/labels.go, NamedPortsIdentityLabels): "http.TCP.8080_metrics.TCP.9100", in as many as it takes.
func namedPortLabels(ports []namedPort) map[string]string {
	values := []string{}
	byName := map[string]namedPort{}
	for _, port := range ports {
		byName[port.Name] = port
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		part := fmt.Sprintf("%s.%s.%d", name, byName[name].Protocol, byName[name].Port)
		if last := len(values) - 1; last >= 0 && len(values[last])+1+len(part) <= labelValueMax {
			values[last] += "_" + part
		} else {
			values = append(values, part)
		}
	}
	labels := map[string]string{}
	for index, value := range values {
		key := namedPortsLabel
		if index > 0 {
			key += fmt.Sprintf("-%d", index)
		}
		labels[key] = value
	}
	return labels
}

// labelKey is one text for each set of labels.
func labelKey(labels map[string]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&text, "%s=%s;", key, labels[key])
	}
	return text.String()
}

// labelList is how a CiliumEndpoint tells them: "k8s:app=web".
func labelList(labels map[string]string) []string {
	list := []string{}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return list
}
