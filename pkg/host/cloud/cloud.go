// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package cloud knows on which cloud this node runs, for ECS cloud.*.
//
// A node of Kubernetes says most of it in its labels and its provider id. The
// rest, or all of it, is asked of the cloud's metadata service, which every
// machine of AWS, Google Cloud and Azure reaches at the same address.
package cloud

import "strings"

// Facts are what is known. Members that are not are empty.
type Facts struct {
	Provider     string // aws, gcp, azure
	Region       string
	Zone         string // availability zone
	AccountID    string
	ProjectID    string
	InstanceID   string
	InstanceName string
	MachineType  string
	// ClusterName is that of the Kubernetes cluster, where the cloud tells it.
	ClusterName string
}

// FromNode reads what Kubernetes says of a node.
func FromNode(name, providerID string, labels map[string]string) Facts {
	f := fromProviderID(providerID)
	f.InstanceName = name
	f.Region = first(labels["topology.kubernetes.io/region"], labels["failure-domain.beta.kubernetes.io/region"])
	f.Zone = first(labels["topology.kubernetes.io/zone"], labels["failure-domain.beta.kubernetes.io/zone"], f.Zone)
	f.MachineType = first(labels["node.kubernetes.io/instance-type"], labels["beta.kubernetes.io/instance-type"])
	return f
}

// fromProviderID reads what a cloud's controller writes as spec.providerID:
//
//	aws:///ZONE/INSTANCE
//	gce://PROJECT/ZONE/NAME
//	azure:///subscriptions/ACCOUNT/resourceGroups/…
//
// Of others the scheme is the provider. Azure's does not have the id by which
// Azure itself calls a machine.
func fromProviderID(id string) Facts {
	scheme, path, ok := strings.Cut(id, "://")
	if !ok {
		return Facts{}
	}
	parts := strings.Split(path, "/")
	switch {
	case scheme == "aws" && len(parts) == 3:
		return Facts{Provider: scheme, Zone: parts[1], InstanceID: parts[2]}
	case scheme == "gce" && len(parts) == 3:
		return Facts{Provider: "gcp", ProjectID: parts[0], Zone: parts[1]}
	case scheme == "gce":
		return Facts{Provider: "gcp"}
	case scheme == "azure" && len(parts) > 2:
		return Facts{Provider: scheme, AccountID: parts[2]}
	}
	return Facts{Provider: scheme}
}

// Or fills what is missing from other facts, unless these are another cloud's.
func (f Facts) Or(other Facts) Facts {
	if f.Provider != "" && other.Provider != "" && f.Provider != other.Provider {
		return f
	}
	return Facts{
		Provider:     first(f.Provider, other.Provider),
		Region:       first(f.Region, other.Region),
		Zone:         first(f.Zone, other.Zone),
		AccountID:    first(f.AccountID, other.AccountID),
		ProjectID:    first(f.ProjectID, other.ProjectID),
		InstanceID:   first(f.InstanceID, other.InstanceID),
		InstanceName: first(f.InstanceName, other.InstanceName),
		MachineType:  first(f.MachineType, other.MachineType),
		ClusterName:  first(f.ClusterName, other.ClusterName),
	}
}

// first is the first text that there is.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
