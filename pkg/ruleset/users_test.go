// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
)

func usersRuleset(t *testing.T, ids int) (*Ruleset, error) {
	t.Helper()
	many := policy.Selector{Name: "many"}
	for i := range ids {
		many.ProcessUserID = append(many.ProcessUserID, uint32(1_000_000-i))
	}
	return Compile(&policy.Policy{Process: &policy.Section{Selectors: []policy.Selector{
		{Name: "root", ProcessUserID: []uint32{0, 4294967294, 0}},
		{Name: "web", ProcessUserName: []string{"www-data", "nginx"}, ProcessUserID: []uint32{33, 0}},
		{Name: "www", ProcessUserName: []string{"www-data", "daemon"}},
		many,
	}}})
}

func TestUserID(t *testing.T) {
	r, err := usersRuleset(t, MaxUsers-3)
	require.NoError(t, err)
	table := &r.Tables[policy.Process]
	require.Len(t, table.Users, MaxUsers)
	require.IsIncreasing(t, func() (ids []uint32) {
		for _, u := range table.Users {
			ids = append(ids, u.ID)
		}
		return ids
	}())
	for id, want := range map[uint32]uint64{0: 3, 33: 2, 1: 0, 1_000_000: 8, 4294967294: 1, 4294967295: 0} {
		require.Equal(t, want, table.UserID(id), id)
	}
	require.Equal(t, uint64(1<<2), table.NoUserID)
	require.Equal(t, uint64(1<<0|1<<3), table.NoUserName)
	require.Zero(t, r.Tables[policy.File].UserID(0))
}

func TestTooManyUserIDs(t *testing.T) {
	_, err := usersRuleset(t, MaxUsers-2)
	require.EqualError(t, err,
		`compile process selector "many": "999747" takes the policy beyond 256 user ids; name fewer users in processUserId`)
	require.ErrorAs(t, err, new(*LimitError))
}

func TestNamedUsers(t *testing.T) {
	r, err := usersRuleset(t, 1)
	require.NoError(t, err)
	users := []container.User{
		{Name: "root", ID: 0},
		{Name: "www-data", ID: 33},
		{Name: "nginx", ID: 33},
		{Name: "nginx", ID: 101}, // a name may stand there more than once
		{Name: "daemon", ID: 1},
	}
	require.Equal(t, map[uint32]uint64{33: 6, 101: 2, 1: 4}, r.NamedUsers(users))
	require.Empty(t, r.NamedUsers(nil))
}
