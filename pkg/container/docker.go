// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// dockerSocket is the name of the socket on which Docker's engine speaks HTTP,
// and podman where it takes Docker's place.
const dockerSocket = "docker.sock"

// dockerSource knows the containers of Docker's engine. Paths without a version
// are the newest that the engine has; what is read here has been there since
// version 1.24.
type dockerSource struct {
	client  *http.Client
	runtime string
	details detailCache
}

func dialDocker(ctx context.Context, socket string) (*session, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, socket) },
	}
	s := &dockerSource{client: &http.Client{Transport: transport}, runtime: "docker"}
	var version struct {
		Version    string
		Components []struct{ Name string }
	}
	if _, err := s.get(ctx, "/version", nil, &version); err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	for _, c := range version.Components {
		if strings.HasPrefix(c.Name, "Podman") {
			s.runtime = "podman"
		}
	}
	return &session{
		runtime: Runtime{Name: s.runtime, Version: version.Version, Socket: socket},
		sources: []source{s},
		close:   transport.CloseIdleConnections,
	}, nil
}

// dockerContainer is one of GET /containers/json.
type dockerContainer struct {
	ID      string `json:"Id"`
	Names   []string
	Image   string
	ImageID string
	State   string
	Labels  map[string]string
}

func (s *dockerSource) list(ctx context.Context) ([]record, error) {
	listed, err := s.query(ctx, "status", "created", "running", "paused", "restarting")
	if err != nil {
		return nil, err
	}
	var records []record
	for _, c := range listed {
		if err := s.inspect(ctx, c); err != nil {
			return nil, err
		}
		records = append(records, s.record(c))
	}
	s.details.keep(records)
	return records, nil
}

// find does not inspect unless details are asked for: the engine lets that wait
// until the container has started.
func (s *dockerSource) find(ctx context.Context, key lookup) (record, bool, error) {
	if !isHexID(key.id) || key.namespace != "" {
		return record{}, false, nil
	}
	found, err := s.query(ctx, "id", key.id)
	if err != nil || len(found) != 1 || found[0].ID != key.id {
		return record{}, false, err
	}
	if key.details {
		if err := s.inspect(ctx, found[0]); err != nil {
			return record{}, false, err
		}
	}
	return s.record(found[0]), true, nil
}

func (s *dockerSource) query(ctx context.Context, filter string, values ...string) (all []dockerContainer, err error) {
	filters, err := json.Marshal(map[string][]string{filter: values})
	if err != nil {
		return nil, err
	}
	_, err = s.get(ctx, "/containers/json", url.Values{"all": {"1"}, "filters": {string(filters)}}, &all)
	return all, err
}

// inspect asks once for what the list does not tell. Of the image it has the
// name by which it was asked for; the list has an id when that name went to
// another image meanwhile.
func (s *dockerSource) inspect(ctx context.Context, c dockerContainer) error {
	if _, known := s.details.get(c.ID); known || c.State == "created" {
		return nil
	}
	var container struct {
		Image      string
		Config     struct{ Image string }
		HostConfig struct{ Privileged bool }
	}
	found, err := s.get(ctx, "/containers/"+c.ID+"/json", nil, &container)
	if !found {
		return err
	}
	var stored struct{ RepoDigests []string }
	if _, err := s.get(ctx, "/images/"+container.Image+"/json", nil, &stored); err != nil {
		return err
	}
	d := details{image: dockerImage(container.Config.Image, container.Image), privileged: &container.HostConfig.Privileged}
	for _, name := range stored.RepoDigests {
		if of := ParseImage(name); d.image.Digest == "" && of.Repository == d.image.Repository {
			d.image.Digest = of.Digest
		}
	}
	s.details.put(c.ID, d)
	return nil
}

func (s *dockerSource) record(c dockerContainer) record {
	image := dockerImage(c.Image, c.ImageID)
	r := record{more: true, Container: Container{
		ID: c.ID, Image: image, Runtime: s.runtime, Complete: image.Repository != "",
		Pod: podFromLabels(c.Labels), Sandbox: c.Labels["io.kubernetes.docker.type"] == "podsandbox",
	}}
	// Names of links have the name of another container in front.
	if i := slices.IndexFunc(c.Names, func(name string) bool { return strings.LastIndex(name, "/") == 0 }); i >= 0 {
		r.Name = c.Names[i][1:]
	}
	if name := c.Labels[labelContainerName]; name != "" {
		r.Name = name
	}
	if d, known := s.details.get(c.ID); known {
		r.Image, r.Privileged, r.Complete, r.more = d.image, d.privileged, true, false
	}
	return r
}

// dockerImage tells whether an image was asked for by its id: docker takes the
// first part of it, and shows twelve digits.
func dockerImage(name, id string) Image {
	if len(name) >= 12 && strings.HasPrefix(strings.TrimPrefix(id, "sha256:"), name) {
		return Image{Reference: name}
	}
	return ParseImage(name)
}

// get is false for what the engine does not have (any more).
func (s *dockerSource) get(ctx context.Context, path string, query url.Values, answer any) (bool, error) {
	request := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: query.Encode()}}
	response, err := s.client.Do(request.WithContext(ctx))
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	body := io.LimitReader(response.Body, maxMessage)
	switch response.StatusCode {
	case http.StatusOK:
		if err := json.NewDecoder(body).Decode(answer); err != nil {
			return false, fmt.Errorf("read GET %s: %w", path, err)
		}
		// Only a connection that was read to its end is used again.
		_, err = io.Copy(io.Discard, body)
		return err == nil, err
	case http.StatusNotFound:
		return false, nil
	}
	reason, _ := io.ReadAll(io.LimitReader(body, 200))
	return false, fmt.Errorf("GET %s: %s: %s", path, response.Status, strings.TrimSpace(string(reason)))
}
