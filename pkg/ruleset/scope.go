// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
)

// Cluster is the Kubernetes cluster of this node; zero when there is none.
type Cluster struct {
	// ID is the UID of the namespace kube-system.
	ID   string
	Name string
}

// AsksCluster reports whether a selector has a condition on the cluster.
func (r *Ruleset) AsksCluster() bool {
	for _, t := range policy.Types {
		for _, s := range r.selectors[t] {
			if len(s.KubernetesClusterID)+len(s.KubernetesClusterName) > 0 {
				return true
			}
		}
	}
	return false
}

// Scope returns, by type, the selectors whose conditions on containers this one satisfies. It takes what it does not
// find for absent, so it is right only for a container whose description is complete.
func (r *Ruleset) Scope(c container.Container, cluster Cluster) [len(policy.Types)]uint64 {
	var scope [len(policy.Types)]uint64
	for _, t := range policy.Types {
		for i := range r.selectors[t] {
			if inScope(&r.selectors[t][i], &c, cluster) {
				scope[t] |= 1 << i
			}
		}
	}
	return scope
}

func inScope(s *policy.Selector, c *container.Container, cluster Cluster) bool {
	return isLikeOneOf(s.ContainerImageFullName, c.Image.Repository) &&
		isLikeOneOf(s.ContainerImageName, imageName(c.Image.Repository)) &&
		isLikeOneOf(s.ContainerImageTag, c.Image.Tag) &&
		isLikeOneOf(s.KubernetesClusterID, cluster.ID) &&
		isLikeOneOf(s.KubernetesClusterName, cluster.Name) &&
		isLikeOneOf(s.KubernetesNamespace, c.Pod.Namespace) &&
		isLikeOneOf(s.KubernetesPodName, c.Pod.Name) &&
		hasOneOf(s.KubernetesPodLabel, c.Pod.Labels)
}

// imageName is the last component of a repository; nothing of nothing.
func imageName(repository string) string {
	return repository[strings.LastIndexByte(repository, '/')+1:]
}

// containerFree reports whether inScope is true of every container.
func containerFree(s *policy.Selector) bool {
	for _, values := range [][]string{
		s.ContainerImageFullName, s.ContainerImageName, s.ContainerImageTag, s.KubernetesClusterID,
		s.KubernetesClusterName, s.KubernetesNamespace, s.KubernetesPodName, s.KubernetesPodLabel,
	} {
		if len(values) > 0 {
			return false
		}
	}
	return true
}

// isLikeOneOf compares with patterns. What a container lacks is like none, not even like a star.
func isLikeOneOf(patterns []string, is string) bool {
	return len(patterns) == 0 || is != "" && slices.ContainsFunc(patterns, func(p string) bool { return isLike(p, is) })
}

// isLike compares with a pattern in which each star stands for any text. It takes each text between stars where it comes
// first, so it never goes back.
func isLike(pattern, is string) bool {
	texts := strings.Split(pattern, "*")
	last := len(texts) - 1
	if last == 0 {
		return is == pattern
	}
	is, begins := strings.CutPrefix(is, texts[0])
	is, ends := strings.CutSuffix(is, texts[last])
	for _, text := range texts[1:last] {
		at := strings.Index(is, text)
		if at < 0 {
			return false
		}
		is = is[at+len(text):]
	}
	return begins && ends
}

// hasOneOf compares labels with patterns of the form key:value. The key ends at the first colon: a label's key has none.
func hasOneOf(patterns []string, labels map[string]string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		key, value, _ := strings.Cut(p, ":")
		is, ok := labels[key]
		return ok && isLike(value, is)
	})
}
