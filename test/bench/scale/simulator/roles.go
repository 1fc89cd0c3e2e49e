package main

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
)

// Label of flipped nodes; model/names.ts.
const flipLabel = "io.cilium.migration/cilium-default"

// simulateEffects applies the changes that a pod of Cilium or of a migration makes on its node. It returns whether the pod
// finishes, and its termination message. All other pods run until they are deleted.
func simulateEffects(pod *corev1.Pod, m *machine, flipped bool) (finished bool, message string) {
	if pod.Labels["k8s-app"] == "cilium" {
		// An agent that is not configured to write a CNI file keeps the existing one.
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

// verdicts returns a passed result for every check of a verification pod; the fields are those of images/prober/check.go.
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
