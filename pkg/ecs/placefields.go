// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"slices"

	"github.com/elastic/cloud-defend/pkg/host/cloud"
)

// Place is where the node stands. It becomes known after the start, if ever.
type Place struct {
	Cloud                  cloud.Facts
	ClusterID, ClusterName string
}

// Locate puts the node's place into all documents of events from now on; the
// cluster into those of pods.
func (b *Builder) Locate(p Place) {
	b.cloud = b.encoded(func() { b.cloudFields(&p.Cloud) })
	b.cluster = b.encoded(func() {
		m := b.enc.open("cluster")
		b.enc.str("id", p.ClusterID)
		b.enc.str("name", p.ClusterName)
		b.enc.close(m)
	})
	b.labels = shelf[uint64, *label]{}
	b.surround()
}

// encoded returns the members that write writes.
func (b *Builder) encoded(write func()) []byte {
	b.enc.reset()
	write()
	return slices.Clone(b.enc.buf[1:]) // without the document's brace
}

func (b *Builder) cloudFields(f *cloud.Facts) {
	e := &b.enc
	m := e.open("cloud")
	e.str("provider", f.Provider)
	e.str("region", f.Region)
	e.str("availability_zone", f.Zone)
	for _, named := range []struct{ name, id string }{{"account", f.AccountID}, {"project", f.ProjectID}} {
		object := e.open(named.name)
		e.str("id", named.id)
		e.close(object)
	}
	instance := e.open("instance")
	e.str("id", f.InstanceID)
	e.str("name", f.InstanceName)
	e.close(instance)
	machine := e.open("machine")
	e.str("type", f.MachineType)
	e.close(machine)
	e.close(m)
}
