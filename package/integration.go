// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package integration carries the sources of the integration package in a binary, so that tests far from the tree can
// hold documents against them.
package integration

import "embed"

// Files has the data streams' folders, and ECS the definitions of the fields that they take from the Elastic Common Schema.
var (
	//go:embed cloud_defend/data_stream
	Files embed.FS
	//go:embed ecs.json
	ECS []byte
)
