// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// client speaks HTTP with the engine.
type client struct{ http *http.Client }

func dial() client {
	return client{&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", Socket)
	}}}}
}

// call sends a question as JSON, nil for none, and reads the answer into answer, unless that is nil.
func (c client) call(ctx context.Context, method, path string, question, answer any) error {
	body, kind := io.Reader(http.NoBody), ""
	if question != nil {
		text, err := json.Marshal(question)
		if err != nil {
			return err
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	said, err := c.send(ctx, method, path, kind, body)
	if err != nil {
		return err
	}
	defer said.Close()
	if answer != nil {
		return json.NewDecoder(said).Decode(answer)
	}
	_, err = io.Copy(io.Discard, said)
	return err
}

// send returns the body of an answer that is no error.
func (c client) send(ctx context.Context, method, path, kind string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < http.StatusBadRequest {
		return response.Body, nil
	}
	defer response.Body.Close()
	reason, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(reason)))
}
