// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package container

import (
	"strings"

	"github.com/distribution/reference"
)

// ParseImage splits an image name as Docker and Kubernetes read it: a missing
// registry is docker.io, a missing namespace there is library, and a name with
// neither tag nor digest has the tag latest. A bare image id (sha256:…) has no
// repository. A name outside the grammar keeps its text as Repository, so that
// a document can still show it.
func ParseImage(name string) Image {
	img := Image{Reference: name}
	if name == "" || isImageID(name) {
		return img
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		img.Repository = name
		return img
	}
	named = reference.TagNameOnly(named)
	img.Repository = named.Name()
	if tagged, ok := named.(reference.Tagged); ok {
		img.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		img.Digest = digested.Digest().String()
	}
	return img
}

// isImageID tells an image's id from its name. CRI-O leaves the algorithm out.
func isImageID(name string) bool {
	return isHexID(strings.TrimPrefix(name, "sha256:"))
}
