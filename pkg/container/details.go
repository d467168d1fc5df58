// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"maps"
	"sync"
)

// details is what a runtime tells only of one container at a time.
type details struct {
	image      Image
	privileged *bool
	dir        string
}

// detailCache holds details by container id: each costs a question, and none
// changes while the container lives. Only those of the last list are kept. Its
// methods may be called by several goroutines at once.
type detailCache struct {
	mu   sync.Mutex
	byID map[string]details
}

func (c *detailCache) get(id string) (details, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, known := c.byID[id]
	return d, known
}

func (c *detailCache) put(id string, d details) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[string]details{}
	}
	c.byID[id] = d
}

// keep forgets all but the listed ones.
func (c *detailCache) keep(listed []record) {
	ids := make(map[string]bool, len(listed))
	for _, r := range listed {
		ids[r.ID] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.byID, func(id string, _ details) bool { return !ids[id] })
}
