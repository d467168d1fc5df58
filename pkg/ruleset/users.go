// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
)

// UserBits are the selectors whose processUserId names a user.
type UserBits struct {
	ID   uint32
	Bits uint64
}

// users fills in Table.Users.
func (t *Table) users(typ policy.Type, selectors []policy.Selector) error {
	for i := range selectors {
		for _, id := range selectors[i].ProcessUserID {
			at, found := t.user(id)
			if !found && len(t.Users) == MaxUsers {
				return &LimitError{
					Type: typ, Selector: selectors[i].Name, Index: i, Pattern: fmt.Sprint(id), Limit: fmt.Sprintf("%d user ids", MaxUsers),
					Remedy: "name fewer users in processUserId",
				}
			}
			if !found {
				t.Users = slices.Insert(t.Users, at, UserBits{ID: id})
			}
			t.Users[at].Bits |= 1 << i
		}
	}
	return nil
}

// user returns where a user stands in Users, or belongs.
func (t *Table) user(id uint32) (at int, found bool) {
	return slices.BinarySearchFunc(t.Users, id, func(u UserBits, id uint32) int { return cmp.Compare(u.ID, id) })
}

// UserID returns the selectors whose processUserId names this user. Selectors without that condition (Table.NoUserID)
// are not in the result.
func (t *Table) UserID(id uint32) uint64 {
	if at, found := t.user(id); found {
		return t.Users[at].Bits
	}
	return 0
}

// NamedUsers resolves processUserName by the users of a database: the process selectors that name them, by user id. An
// id that no name leads to is not in the result. Selectors without that condition (Table.NoUserName) are not in the sets.
func (r *Ruleset) NamedUsers(users []container.User) map[uint32]uint64 {
	named := map[string]uint64{}
	for i := range r.selectors[policy.Process] {
		for _, name := range r.selectors[policy.Process][i].ProcessUserName {
			named[name] |= 1 << i
		}
	}
	ids := map[uint32]uint64{}
	for _, u := range users {
		if bits := named[u.Name]; bits != 0 {
			ids[u.ID] |= bits
		}
	}
	return ids
}
