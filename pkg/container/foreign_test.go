// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// inCgroup says of a process what a reader in a cgroup namespace of its own reads.
func (p procs) inCgroup(pid int, cgroupPath string) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, fmt.Sprint(pid), "cgroup"), []byte("0::"+cgroupPath+"\n"), 0o600))
}

// Read from another pid namespace, cgroup.procs has 0 for most processes, and for some a number that the proc file
// system has for another process.
func TestUsersFromAnotherPIDNamespace(t *testing.T) {
	p := newProcs(t)
	require.NoError(t, os.Symlink("4711", filepath.Join(p.dir, "self")))
	p.start(20, 10, 7, newRoot(t, "app:x:1000:1000::/\n"))
	p.start(21, 20, 8, newRoot(t, "another:x:1000:1000::/\n"))
	p.start(30, 10, 9, newRoot(t, "other:x:1000:1000::/\n"))
	p.inCgroup(1, "/../..")
	p.inCgroup(20, "/../"+idA)
	p.inCgroup(21, "/../"+idA+"/below")
	p.inCgroup(30, "/../"+idB)
	inv := p.inventory()
	for id, want := range map[string]string{idA: "app", idB: "other"} {
		require.Equal(t, []User{{want, 1000}}, p.users(inv, p.join(pod1+"/"+id, 0, 10)))
	}
}
