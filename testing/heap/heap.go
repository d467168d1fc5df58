// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package heap measures memory, for tests of what many of something take.
package heap

import "runtime"

// Live returns the bytes of all that is reachable in this process, and of what was allocated while it was counted.
func Live() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
