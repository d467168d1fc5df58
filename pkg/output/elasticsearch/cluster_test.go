// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// cluster is a server that stores documents. answer may decide on a document
// otherwise: 0 stores it.
type cluster struct {
	mu       sync.Mutex
	docs     map[string]map[string]string // by index and id
	arrivals map[string]int               // by index/id, also those not stored
	requests []*http.Request
	// before may answer a whole request, given its documents.
	before func(w http.ResponseWriter, ids []string, size int) bool
	answer func(index, id, doc string) (status int, reason string)
	// after that many documents, the server dies with the answer
	dies int
	died chan struct{}
}

type line struct {
	Create struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	} `json:"create"`
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = zip
	}
	var actions []line
	var docs, ids []string
	size := 0
	scanner := bufio.NewScanner(body)
	scanner.Buffer(nil, 32<<20)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil || l.Create.Index == "" || !scanner.Scan() || !json.Valid(scanner.Bytes()) {
			http.Error(w, `{"error":{"type":"illegal_argument_exception","reason":"Malformed action/metadata line"},"status":400}`, http.StatusBadRequest)
			return
		}
		size += len(scanner.Bytes())
		actions, docs, ids = append(actions, l), append(docs, scanner.Text()), append(ids, l.Create.ID)
	}
	if c.before != nil && c.before(w, ids, size) {
		return
	}
	var items []string
	failed := false
	for i, l := range actions {
		if c.dies > 0 && i == c.dies {
			c.dies = 0
			close(c.died)
			panic(http.ErrAbortHandler)
		}
		status, reason := c.store(l.Create.Index, l.Create.ID, docs[i])
		failed = failed || status > 201
		item := fmt.Sprintf(`{"create":{"status":%d}}`, status)
		if reason != "" {
			item = fmt.Sprintf(`{"create":{"status":%d,"error":{"type":"test_exception","reason":%q}}}`, status, reason)
		}
		items = append(items, item)
	}
	fmt.Fprintf(w, `{"errors":%v,"items":[%s]}`, failed, strings.Join(items, ","))
}

func (c *cluster) store(index, id, doc string) (int, string) {
	c.arrivals[index+"/"+id]++
	if c.answer != nil {
		if status, reason := c.answer(index, id, doc); status != 0 {
			return status, reason
		}
	}
	if _, there := c.docs[index][id]; there {
		return http.StatusConflict, "version conflict, document already exists"
	}
	if c.docs[index] == nil {
		c.docs[index] = map[string]string{}
	}
	c.docs[index][id] = doc
	return http.StatusCreated, ""
}

func (c *cluster) stored(index string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.docs[index])
}

func newCluster(t *testing.T) (*cluster, *httptest.Server) {
	c := &cluster{docs: map[string]map[string]string{}, arrivals: map[string]int{}}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return c, s
}
