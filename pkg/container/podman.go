// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// podmanSource knows root's podman containers by the files that podman and what
// it starts keep of them (containers/storage): it needs no service that runs,
// and it says nothing of containers of other users' podman.
//
// What CRI-O made is in the same files and left out: CRI describes it better.
type podmanSource struct {
	root    string
	details detailCache
}

// openPodman finds nothing where there never was a podman.
func openPodman(root string) (*session, error) {
	s := &podmanSource{root: root}
	if files, err := s.files(); err != nil || len(files) == 0 {
		return nil, fs.ErrNotExist
	}
	return &session{runtime: Runtime{Name: "podman", Socket: root}, sources: []source{s}, close: func() {}}, nil
}

// files are one for each storage driver in use, mostly overlay's alone.
func (s *podmanSource) files() ([]string, error) {
	return filepath.Glob(filepath.Join(s.root, "*-containers", "containers.json"))
}

// stored is one container of such a file. podman, which writes it before the
// container has a cgroup, describes it to itself in Metadata.
type stored struct {
	ID       string `json:"id"`
	Metadata string `json:"metadata"`
}

func (s *podmanSource) list(context.Context) ([]record, error) {
	records, err := s.read(func(string) bool { return true })
	if err == nil {
		s.details.keep(records)
	}
	return records, err
}

func (s *podmanSource) find(_ context.Context, key lookup) (record, bool, error) {
	if !isHexID(key.id) || key.namespace != "" {
		return record{}, false, nil
	}
	records, err := s.read(func(id string) bool { return id == key.id })
	if len(records) == 0 {
		return record{}, false, err
	}
	return records[0], true, nil
}

// read describes the containers whose id is asked for.
func (s *podmanSource) read(asked func(id string) bool) ([]record, error) {
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	var records []record
	for _, file := range files {
		// It is replaced whole, never written to.
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var containers []stored
		if err := json.Unmarshal(text, &containers); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		for _, c := range containers {
			if !asked(c.ID) {
				continue
			}
			if r, ok := s.record(c, filepath.Dir(file)); ok {
				records = append(records, r)
			}
		}
	}
	return records, nil
}

func (s *podmanSource) record(c stored, folder string) (record, bool) {
	var metadata struct {
		Image string `json:"image-name"`
		Name  string `json:"name"`
		PodID string `json:"pod-id"` // CRI-O's
	}
	if json.Unmarshal([]byte(c.Metadata), &metadata) != nil || metadata.PodID != "" {
		return record{}, false
	}
	return record{Container: Container{
		ID: c.ID, Name: metadata.Name, Image: ParseImage(metadata.Image), Runtime: "podman", Complete: true,
		Privileged: s.privileged(c.ID, folder),
	}}, true
}

// privileged reads it of the specification, which is there once the container
// was started.
func (s *podmanSource) privileged(id, folder string) *bool {
	if d, known := s.details.get(id); known {
		return d.privileged
	}
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	text, err := os.ReadFile(filepath.Join(folder, id, "userdata", "config.json"))
	if err != nil || json.Unmarshal(text, &spec) != nil {
		return nil
	}
	privileged := spec.Annotations["io.podman.annotations.privileged"] == "TRUE"
	s.details.put(id, details{privileged: &privileged})
	return &privileged
}
