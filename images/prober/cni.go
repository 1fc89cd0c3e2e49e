package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// pluginVersions contains the CNI versions that a plugin supports, or why they are unknown.
type pluginVersions struct {
	Versions []string `json:"versions,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// cniFiles returns the plugins of every file in the folder, by name of the file.
func cniFiles(folder string) (map[string][]string, error) {
	files := map[string][]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return files, err
	}
	for _, entry := range entries {
		// A link is followed: some installers keep the file elsewhere.
		if info, err := os.Stat(filepath.Join(folder, entry.Name())); err == nil && info.Mode().IsRegular() {
			files[entry.Name()] = plugins(filepath.Join(folder, entry.Name()))
		} else if err != nil && entry.Type()&os.ModeSymlink != 0 {
			// The target is outside the folder that this pod mounts.
			files[entry.Name()] = []string{}
		}
	}
	return files, nil
}

// plugins returns the names of the plugins of a CNI file.
func plugins(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return []string{}
	}
	var conf struct {
		Type    string `json:"type"`
		Plugins []struct {
			Type string `json:"type"`
		} `json:"plugins"`
	}
	if json.Unmarshal(text, &conf) != nil {
		return []string{}
	}
	names := []string{}
	if conf.Type != "" {
		names = append(names, conf.Type)
	}
	for _, plugin := range conf.Plugins {
		names = append(names, plugin.Type)
	}
	return names
}

// chainedPlugins returns the CNI versions of the plugins that a CNI file chains after its first one, by plugin.
func chainedPlugins(folder string, chain []string) map[string]pluginVersions {
	versions := map[string]pluginVersions{}
	for index, name := range chain {
		if index > 0 {
			versions[name] = supportedVersions(filepath.Join(folder, filepath.Base(name)))
		}
	}
	return versions
}

// supportedVersions asks a plugin for the CNI versions that it supports (CNI specification, VERSION), which it answers
// without a network.
func supportedVersions(program string) pluginVersions {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, program)
	command.Env = []string{"CNI_COMMAND=VERSION"}
	command.Stdin = strings.NewReader(`{"cniVersion": "1.0.0"}`)
	var output bytes.Buffer
	command.Stdout = &output
	if err := command.Run(); err != nil {
		return pluginVersions{Error: err.Error()}
	}
	var answer struct {
		SupportedVersions []string `json:"supportedVersions"`
	}
	if err := json.Unmarshal(output.Bytes(), &answer); err != nil {
		return pluginVersions{Error: fmt.Sprintf("answer to VERSION: %v", err)}
	}
	return pluginVersions{Versions: answer.SupportedVersions}
}
