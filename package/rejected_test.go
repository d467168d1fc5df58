// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/testing/ecsfields"
)

// A document that was refused cannot be refused again for what it says: that is stored and not looked at.
func TestRejectedDocumentsAreNotRead(t *testing.T) {
	ecs, err := ecsfields.Load("..")
	require.NoError(t, err)
	unread := false
	require.Equal(t, ecsfields.Field{Type: "keyword", Index: &unread, DocValues: &unread}, ecs.Fields["event.original"])
}
