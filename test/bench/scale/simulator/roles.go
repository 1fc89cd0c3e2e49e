package main

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
)

// Label of the nodes that are flipped; model/helm-values.ts.
const flipLabel = "io.cilium.migration/cilium-default"

// outcomeOf does what a pod of Cilium's or of a migration does to its node, and tells what it says in the end; the others
// run on.
func outcomeOf(pod *corev1.Pod, m *machine, flipped bool) (ended bool, message string) {
	if pod.Labels["k8s-app"] == "cilium" {
		// An agent that is not told to write a CNI file leaves what is there.
		if flipped {
			m.write(cilium)
		}
		return false, ""
	}
	switch pod.Labels["app"] {
	case "verify":
		return true, verdicts(pod)
	case "restore-source-cni":
		m.write(canal)
		return true, "10-canal.conflist\n"
	case "clean-canal", "clean-cilium", "diagnose":
		return true, ""
	}
	return false, ""
}

// verdicts has every check that a verification pod is asked for pass; the fields are those of images/prober/check.go.
func verdicts(pod *corev1.Pod) string {
	type outcome struct {
		Name string `json:"name"`
		OK   bool   `json:"ok"`
		Ms   int    `json:"ms"`
	}
	outcomes := []outcome{}
	for _, variable := range pod.Spec.Containers[0].Env {
		if variable.Name == "CHECKS" {
			_ = json.Unmarshal([]byte(variable.Value), &outcomes)
		}
	}
	for index := range outcomes {
		outcomes[index].OK, outcomes[index].Ms = true, 1
	}
	text, _ := json.Marshal(outcomes)
	return string(text)
}
