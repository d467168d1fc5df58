// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package agent_test

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/elastic/mock-es/pkg/api"
	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/agent"
)

// books are Elastic's stand-in for Elasticsearch, at one address for as long as the test takes, and what it stored.
type books struct {
	*testing.T
	address string
	server  *http.Server

	mu     sync.Mutex
	stored map[string]stored // by the document's id
	again  int               // documents that came although they were stored
}

// stored is what the books keep of a document.
type stored struct{ index, action, path string }

type name string

func (n name) String() string { return string(n) }

func openBooks(t *testing.T) *books {
	t.Helper()
	b := &books{T: t, address: "127.0.0.1:0", stored: map[string]stored{}}
	b.open()
	t.Cleanup(b.close)
	return b
}

// open lets the server listen, at the address that it had before.
func (b *books) open() {
	b.Helper()
	listener, err := net.Listen("tcp", b.address)
	require.NoError(b, err)
	b.address = listener.Addr().String()
	handler := api.NewDeterministicAPIHandler(name("u"), "c", nil, time.Now().Add(time.Hour), 0, 0, b.create)
	b.server = &http.Server{Handler: handler, ReadHeaderTimeout: patience}
	go b.server.Serve(listener) //nolint:errcheck // ends with close
}

// close cuts all connections, whatever is on them, as the end of a server does.
func (b *books) close() { require.NoError(b, b.server.Close()) }

// create is called by several requests at once.
func (b *books) create(a api.Action, text []byte) int {
	var meta struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	var doc struct {
		Event struct {
			Action any `json:"action"`
		}
		File struct{ Path string }
	}
	err := json.Unmarshal(a.Meta, &meta)
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || a.Action != "create" || meta.ID == "" {
		return http.StatusBadRequest // of a request that close cut, nobody hears it; else the component counts it
	}
	if _, is := b.stored[meta.ID]; is {
		b.again++
		return http.StatusConflict
	}
	action, _ := doc.Event.Action.(string) // a list in documents of processes
	b.stored[meta.ID] = stored{meta.Index, action, doc.File.Path}
	return http.StatusCreated
}

// unit is the output that delivers here.
func (b *books) unit() agent.Unit {
	b.Helper()
	return outputTo(b.T, "http://"+b.address)
}

func (b *books) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.stored)
}

func (b *books) repeated() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.again
}

// of are the documents of a data stream: what was done to which path, in order.
func (b *books) of(index string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.stored {
		if s.index == index {
			all = append(all, s.action+" "+s.path)
		}
	}
	slices.Sort(all)
	return all
}
