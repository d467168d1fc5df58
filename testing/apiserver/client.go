// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package apiserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"gopkg.in/yaml.v3"
)

// Client speaks to an API server as one of its users. It believes any certificate: what it speaks to is on the same
// machine.
type Client struct {
	address, token string
	http           *http.Client
}

// NewClient returns a client of the server at an address, host and port, whose user has the token.
func NewClient(address, token string) *Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	return &Client{address: address, token: token, http: &http.Client{Transport: transport}}
}

// Client returns a client for a user of the server.
func (s *Server) Client(user string) *Client { return NewClient(s.address, user) }

// Get returns what the server says about a path. Whatever else than success it answers is an error.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, path, "", nil)
}

// Read decodes the JSON of a path.
func (c *Client) Read(ctx context.Context, path string, into any) error {
	reply, err := c.Get(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(reply, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// Delete removes an object.
func (c *Client) Delete(ctx context.Context, path string) error {
	_, err := c.do(ctx, http.MethodDelete, path, "", nil)
	return err
}

// Patch merges JSON into the object at a path.
func (c *Client) Patch(ctx context.Context, path, change string) error {
	_, err := c.do(ctx, http.MethodPatch, path, "application/merge-patch+json", []byte(change))
	return err
}

// Apply makes each object of a manifest, or changes it, as "kubectl apply --server-side" does. What the server does not
// know about an object is an error.
func (c *Client) Apply(ctx context.Context, manifest []byte) error { return c.apply(ctx, manifest, "") }

// Try is Apply without doing anything: the server says what it would say.
func (c *Client) Try(ctx context.Context, manifest []byte) error {
	return c.apply(ctx, manifest, "&dryRun=All")
}

func (c *Client) apply(ctx context.Context, manifest []byte, more string) error {
	for d := yaml.NewDecoder(bytes.NewReader(manifest)); ; {
		var node yaml.Node
		err := d.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		var o object
		if err := node.Decode(&o); err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		if o.Kind == "" {
			continue // a comment by itself
		}
		text, err := yaml.Marshal(&node)
		if err != nil {
			return err
		}
		path, err := o.path()
		if err != nil {
			return err
		}
		path += "?fieldManager=test&fieldValidation=Strict" + more
		if _, err := c.do(ctx, http.MethodPatch, path, "application/apply-patch+yaml", text); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.Kind, o.Metadata.Name, err)
		}
	}
}

// object is what all objects have.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	} `yaml:"metadata"`
}

// path is where the server has the object.
func (o object) path() (string, error) {
	if o.APIVersion == "" || o.Metadata.Name == "" {
		return "", fmt.Errorf("an object of kind %s without a version or a name", o.Kind)
	}
	path := "/apis/" + o.APIVersion
	if !strings.Contains(o.APIVersion, "/") {
		path = "/api/" + o.APIVersion
	}
	if o.Metadata.Namespace != "" {
		path += "/namespaces/" + o.Metadata.Namespace
	}
	return path + "/" + strings.ToLower(o.Kind) + "s/" + o.Metadata.Name, nil // no kind of ours has another plural
}

func (c *Client) do(ctx context.Context, method, path, kind string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "https://"+c.address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Accept", "application/json, */*")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	reply, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, reply.Status, text)
	}
	return text, nil
}
