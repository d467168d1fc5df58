// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// User is a line of a container's own /etc/passwd: names mean there what they
// mean to the container's processes, not what they mean on the host.
type User struct {
	Name string
	// ID is as the node counts: in a container with a user namespace of its
	// own, what the id in the file is mapped to.
	ID uint32
}

// Group is a line of a container's own /etc/group, otherwise like User.
type Group = User

// UserName is the first name that a user's id has in the container, empty when
// it has none or the names are not known.
func (c *Container) UserName(id uint32) string { return nameOf(c.Users, id) }

// GroupName is the same for a group.
func (c *Container) GroupName(id uint32) string { return nameOf(c.Groups, id) }

func nameOf(all []User, id uint32) string {
	at, found := slices.BinarySearchFunc(all, id, func(one User, id uint32) int { return cmp.Compare(one.ID, id) })
	if !found {
		return ""
	}
	return all[at].Name
}

// How much is taken of a file that a container may have made.
const (
	maxPasswdBytes = 1 << 20
	maxPasswdLines = 4096
	maxUserName    = 256
	maxIDMapBytes  = 1 << 16 // 340 lines of 33 bytes at most, user_namespaces(7)
)

// parsePasswd takes the users from a file as passwd(5) describes it, or the
// groups from one as group(5) does. Lines that are not of that form are left
// out, as are those past the bounds and ids that the container does not have.
// They are sorted by id, those of one id as they stand in the file. The result
// is never nil without error.
func parsePasswd(r io.Reader, ids idMap) ([]User, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPasswdBytes))
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	if len(text) == maxPasswdBytes {
		text = text[:bytes.LastIndexByte(text, '\n')+1] // the rest may be half a line
	}
	all, lines := []User{}, 0
	for line := range strings.Lines(string(text)) {
		if lines++; lines > maxPasswdLines {
			break
		}
		if u, ok := parseUser(line); ok {
			if u.ID, ok = ids.node(u.ID); ok {
				all = append(all, u)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// parseUser takes name:password:id:more and whatever follows.
func parseUser(line string) (User, bool) {
	fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 5)
	if len(fields) < 4 || fields[0] == "" || fields[0][0] == '#' || len(fields[0]) > maxUserName {
		return User{}, false
	}
	id, err := strconv.ParseUint(fields[2], 10, 32)
	if err != nil {
		return User{}, false
	}
	return User{Name: fields[0], ID: uint32(id)}, true
}

// idMap is /proc/<pid>/uid_map or gid_map as a reader in the initial user namespace sees
// it.
type idMap []idRange

type idRange struct{ inside, outside, count uint32 }

// sameIDs is the map of the initial user namespace. The highest number is
// nobody's id: system calls take it for "leave as it is".
var sameIDs = idMap{{count: math.MaxUint32}}

// node gives the node's number for a container's user id.
func (m idMap) node(id uint32) (uint32, bool) {
	for _, r := range m {
		if id >= r.inside && id-r.inside < r.count {
			return r.outside + (id - r.inside), true
		}
	}
	return 0, false
}

func parseIDMap(r io.Reader) (idMap, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxIDMapBytes))
	if err != nil {
		return nil, fmt.Errorf("read id map: %w", err)
	}
	var m idMap
	for line := range strings.Lines(string(text)) {
		var ids idRange
		if _, err := fmt.Sscan(line, &ids.inside, &ids.outside, &ids.count); err != nil {
			return nil, fmt.Errorf("read id map: line %q: %w", line, err)
		}
		m = append(m, ids)
	}
	if len(m) == 0 {
		return nil, fmt.Errorf("read id map: %w: its ids are not mapped", errNotYet)
	}
	return m, nil
}
