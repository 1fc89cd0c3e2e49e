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

// labelRule includes or ignores labels whose key starts with a match of the expression.
type labelRule struct {
	source string
	expr   *regexp.Regexp
	ignore bool
}

// labelFilter selects the labels of an identity, as Cilium's agents do (pkg/labelsfilter/filter.go of v1.20): the length of
// the longest matching inclusion is compared with that of the shortest matching exclusion.
type labelFilter struct {
	rules []labelRule
	// True when the configuration includes labels explicitly: others then do not belong to the identity.
	whitelist bool
}

// Rules of agents before those of the configuration are added (defaultLabelPrefixCfg).
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

// newLabelFilter builds the filter of the default rules and of the key "labels" of Cilium's configuration.
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
		return fmt.Errorf("invalid label pattern %q in Cilium's configuration", text)
	}
	f.rules = append(f.rules, labelRule{source, expr, ignore})
	return nil
}

// isIdentityLabel returns true when a label of a pod belongs to its identity.
func (f *labelFilter) isIdentityLabel(key string) bool {
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

// securityLabels returns the labels of a pod's identity in the format of a CiliumIdentity: "k8s:app" → "web".
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
		if f.isIdentityLabel(key) {
			security[securityLabelsSource+":"+key] = value
		}
	}
	maps.Copy(security, namedPortLabels(pod.ports))
	return security
}

// namedPortLabels returns the labels by which agents distinguish pods whose named ports differ (pkg/k8s/labels.go,
// NamedPortsIdentityLabels): "http.TCP.8080_metrics.TCP.9100", split into as many labels as needed.
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

// labelKey returns a text that is unique for each set of labels.
func labelKey(labels map[string]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&text, "%s=%s;", key, labels[key])
	}
	return text.String()
}

// labelList returns labels in the format of a CiliumEndpoint: "k8s:app=web".
func labelList(labels map[string]string) []string {
	list := []string{}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return list
}
