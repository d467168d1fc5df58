// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

// User is a line of a container's own /etc/passwd: names mean there what they
// mean to the container's processes, not what they mean on the host.
type User struct {
	Name string
	ID   uint32
}
