// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/elastic/cloud-defend/pkg/unit"
)

// kept is the last policy that was in force, in the component's data folder. It
// is enforced from the start on until the agent says something newer: after a
// restart a faulty revision finds the good one before it still in force.
type kept struct {
	Layout int
	Agent  unit.Agent
	Input  *unit.Input
}

// keptLayout counts up when a kept file means something else than before.
const keptLayout = 1

func keptPath(dir string) string { return filepath.Join(dir, "policy-in-force.json") }

// keep replaces the file at once or not at all.
func keep(dir string, agent unit.Agent, in *unit.Input) error {
	text, err := json.Marshal(kept{keptLayout, agent, in})
	if err != nil {
		return fmt.Errorf("keep the policy in force: %w", err)
	}
	if err := replaceFile(keptPath(dir), text); err != nil {
		return fmt.Errorf("keep the policy in force: %w", err)
	}
	return nil
}

func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// readKept returns nil where nothing is kept.
func readKept(dir string) (*kept, error) {
	text, err := os.ReadFile(keptPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing was in force, and nothing is wrong with that
	}
	if err != nil {
		return nil, fmt.Errorf("read the policy kept: %w", err)
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("read the policy kept in %s: %w", keptPath(dir), err)
	}
	if k.Layout != keptLayout || k.Input == nil {
		return nil, fmt.Errorf("read the policy kept in %s: it has layout %d, this version reads %d", keptPath(dir), k.Layout, keptLayout)
	}
	return &k, nil
}

func forgetKept(dir string) error {
	if err := os.Remove(keptPath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the policy kept: %w", err)
	}
	return nil
}
