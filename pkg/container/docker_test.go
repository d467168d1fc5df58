// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const idImage = "ff5f4e2f5bb1fa5e291e3f4d6f1cc9a6f0aa9628ba157572358a4cfcb87f7da9"

// stubDocker answers as Docker's engine 20.10 does; its keys are paths and the
// filter, if any.
type stubDocker struct {
	socket string
	server *http.Server

	mu      sync.Mutex
	answers map[string]string
}

func newStubDocker(t *testing.T, answers map[string]string) *stubDocker {
	t.Helper()
	dir, err := os.MkdirTemp("", "docker")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	s := &stubDocker{socket: filepath.Join(dir, dockerSocket), answers: answers}
	s.start(t)
	t.Cleanup(func() { require.NoError(t, s.server.Close()) })
	return s
}

func (s *stubDocker) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", s.socket)
	require.NoError(t, err)
	s.server = &http.Server{Handler: s}
	server := s.server
	go func() { _ = server.Serve(listener) }() // ends in Close
}

func (s *stubDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Path + r.URL.Query().Get("filters")
	s.mu.Lock()
	answer, found := s.answers[key]
	s.mu.Unlock()
	switch {
	case !found:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"message":"No such thing: %s"}`, key)
	case strings.HasPrefix(answer, "500 "):
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"message":%q}`, answer[4:])
	default:
		fmt.Fprint(w, answer)
	}
}

func (s *stubDocker) set(key, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[key] = answer
}

const (
	dockerVersion = `{"Version":"20.10.24","Components":[{"Name":"Engine"},{"Name":"containerd"}]}`
	dockerLists   = `/containers/json{"status":["created","running","paused","restarting"]}`
)

func dockerFinds(id string) string { return `/containers/json{"id":["` + id + `"]}` }

func listed(id, image, state string) string {
	return fmt.Sprintf(`{"Id":%q,"Names":["/other/alias","/web"],"Image":%q,"ImageID":"sha256:%s","State":%q}`, id, image, idImage, state)
}

func TestDockerTellsNamesAndImages(t *testing.T) {
	inspected := `{"Image":"sha256:` + idImage + `","Config":{"Image":"nginx:1.25"},"HostConfig":{"Privileged":true}}`
	stored := `{"RepoDigests":["registry.example.org/nginx@` + digest1 + `","nginx@` + strings.ReplaceAll(digest1, "1", "2") + `"]}`
	image := Image{Reference: "nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25", Digest: strings.ReplaceAll(digest1, "1", "2")}
	for name, tc := range map[string]struct {
		listed, inspected string
		want              Container
	}{
		"running": {
			listed(idA, "nginx:1.25", "running"), inspected,
			Container{Name: "web", Image: image, Privileged: &yes, Complete: true},
		},
		"its name is another image's now": {
			listed(idA, "sha256:"+idImage, "running"), inspected,
			Container{Name: "web", Image: image, Privileged: &yes, Complete: true},
		},
		"not inspected before it runs": {
			listed(idA, "nginx:1.25", "created"), "500 held",
			Container{Name: "web", Image: Image{Reference: "nginx:1.25", Repository: "docker.io/library/nginx", Tag: "1.25"}, Complete: true},
		},
		"without a name of the image yet": {
			listed(idA, "sha256:"+idImage, "created"), "500 held",
			Container{Name: "web", Image: Image{Reference: "sha256:" + idImage}},
		},
		"run by the image's short id": {
			listed(idA, idImage[:12], "running"), strings.Replace(inspected, "nginx:1.25", idImage[:12], 1),
			Container{Name: "web", Image: Image{Reference: idImage[:12]}, Privileged: &yes, Complete: true},
		},
		"it goes while it is asked about": {
			listed(idA, "nginx", "running"), "",
			Container{Name: "web", Image: Image{Reference: "nginx", Repository: "docker.io/library/nginx", Tag: "latest"}, Complete: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]string{
				"/version": dockerVersion, dockerLists: "[" + tc.listed + "]", dockerFinds(idA): "[" + tc.listed + "]",
				"/images/sha256:" + idImage + "/json": stored,
			}
			if tc.inspected != "" {
				answers["/containers/"+idA+"/json"] = tc.inspected
			}
			docker, n := newStubDocker(t, answers), newNode(t)
			cgroup := n.mkdir("docker/" + idA)
			inv := n.inventory(never, docker.socket)
			require.NoError(t, inv.Refresh(t.Context()))
			t.Cleanup(func() { inv.sessions[0].close() })
			require.Equal(t, []Runtime{{Name: "docker", Version: "20.10.24", Socket: docker.socket}}, inv.Stats().Runtimes)
			got, found := inv.Lookup(cgroup)
			require.True(t, found)
			tc.want.ID, tc.want.Runtime, tc.want.CgroupID, tc.want.CgroupPath = idA, "docker", cgroup, "/docker/"+idA
			require.Empty(t, cmp.Diff(&tc.want, got))
		})
	}
}

// The engine's containerd has the same containers without their images, and
// both are asked.
func TestDockerBesideContainerd(t *testing.T) {
	for name, order := range map[string]func(docker, containerd string) []string{
		"asked last":  func(docker, containerd string) []string { return []string{containerd, docker} },
		"asked first": func(docker, containerd string) []string { return []string{docker, containerd} },
	} {
		t.Run(name, func(t *testing.T) { besideContainerd(t, order) })
	}
}

func besideContainerd(t *testing.T, order func(docker, containerd string) []string) {
	t.Helper()
	docker := newStubDocker(t, map[string]string{
		"/version": dockerVersion, dockerLists: "[]", dockerFinds(idA): "[" + listed(idA, "nginx:1.25", "created") + "]",
	})
	n, rt := newNode(t), newStubRuntime(t, true)
	rt.addPod()
	rt.addOwn("moby", idB, "", "/docker/"+idB)
	rt.addOwn("default", "web1", "docker.io/library/web:2", "/default/web1")
	delete(rt.containers, idA)
	rt.addOwn("moby", idA, "", "/docker/"+idA)
	free := n.mkdir("default/web1")
	inv := n.inventory(never, order(docker.socket, rt.socket)...)
	run(t, inv)
	eventually(t, "both were listed", func() bool { _, found := inv.Lookup(free); return found && len(inv.Stats().Runtimes) == 2 })

	cgroup := n.mkdir("docker/" + idA)
	inv.Observe(cgroup, "/docker/"+idA)
	eventually(t, "docker is asked about a new cgroup, which containerd has listed", func() bool { c, _ := inv.Lookup(cgroup); return c.Complete })
	c, _ := inv.Lookup(cgroup)
	require.Equal(t, "web", c.Name)
	c, found := inv.Lookup(free)
	require.True(t, found)
	require.Equal(t, "web1", c.Name)

	docker.set(dockerLists, "["+listed(idA, "nginx:1.25", "created")+"]")
	require.NoError(t, inv.Refresh(t.Context()))
	c, _ = inv.Lookup(cgroup)
	require.Equal(t, "docker.io/library/nginx", c.Image.Repository, "containerd's list does not take it away")

	require.NoError(t, docker.server.Close())
	require.ErrorContains(t, inv.Refresh(t.Context()), docker.socket)
	require.False(t, inv.Stats().Connected, "a runtime is lost of which there are containers")
	require.Equal(t, "containerd", inv.Stats().Runtimes[0].Name)
	require.ErrorContains(t, inv.Refresh(t.Context()), docker.socket, "and stays so")
	c, _ = inv.Lookup(cgroup)
	require.Equal(t, "web", c.Name, "what was known stays known")

	n.rmdir("docker/" + idA)
	require.Error(t, inv.Refresh(t.Context()))
	require.NoError(t, inv.Refresh(t.Context()), "there are no containers of it any more")
	require.True(t, inv.Stats().Connected)
	docker.start(t)
	require.NoError(t, inv.Refresh(t.Context()))
	require.Len(t, inv.Stats().Runtimes, 2, "it is back")
}

// A container's image is known before it has started, and the rest soon after.
func TestDockerTellsTheRestAfterTheStart(t *testing.T) {
	for name, image := range map[string]string{"by name": "nginx:1.25", "by id": idImage[:12]} {
		t.Run(name, func(t *testing.T) {
			docker := newStubDocker(t, map[string]string{
				"/version": dockerVersion, dockerLists: "[]", dockerFinds(idA): "[" + listed(idA, image, "created") + "]",
				"/containers/" + idA + "/json":        `{"Image":"sha256:` + idImage + `","Config":{"Image":"` + image + `"},"HostConfig":{"Privileged":true}}`,
				"/images/sha256:" + idImage + "/json": "{}",
			})
			n := newNode(t)
			inv := n.inventory(never, docker.socket)
			run(t, inv)
			eventually(t, "the engine answers", func() bool { return inv.Stats().Connected })
			cgroup := n.mkdir("docker/" + idA)
			inv.Observe(cgroup, "/docker/"+idA)
			eventually(t, "its name is known", func() bool { c, _ := inv.Lookup(cgroup); return c.Name == "web" })
			c, _ := inv.Lookup(cgroup)
			require.Nil(t, c.Privileged)
			docker.set(dockerFinds(idA), "["+listed(idA, image, "running")+"]")
			eventually(t, "it is inspected", func() bool { c, _ := inv.Lookup(cgroup); return c.Privileged != nil })
			c, _ = inv.Lookup(cgroup)
			require.True(t, *c.Privileged)
			require.True(t, c.Complete)
		})
	}
}

func TestDockerSpeaksNonsense(t *testing.T) {
	for answer, want := range map[string]string{
		"500 no disk": `GET /containers/json: 500 Internal Server Error: {"message":"no disk"}`,
		"<html>":      "read GET /containers/json: invalid character",
	} {
		docker := newStubDocker(t, map[string]string{"/version": dockerVersion, dockerLists: answer})
		inv := newNode(t).inventory(never, docker.socket)
		err := inv.Refresh(t.Context())
		require.ErrorContains(t, err, docker.socket)
		require.ErrorContains(t, err, want)
		require.False(t, inv.Stats().Connected)
	}
	docker := newStubDocker(t, map[string]string{"/version": "500 starting"})
	_, err := FindRuntimes(t.Context(), []string{docker.socket})
	require.ErrorContains(t, err, "starting")
}

func TestPodmanInDockersPlace(t *testing.T) {
	docker := newStubDocker(t, map[string]string{"/version": `{"Version":"4.3.1","Components":[{"Name":"Podman Engine"}]}`})
	found, err := FindRuntimes(t.Context(), []string{docker.socket})
	require.NoError(t, err)
	require.Equal(t, []Runtime{{Name: "podman", Version: "4.3.1", Socket: docker.socket}}, found)
}
