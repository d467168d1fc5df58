// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package cluster

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/elastic/cloud-defend/testing/containers"
)

// Account is what testing/cluster/scene tells of a scene: what was tried, what the API server says of those who tried,
// and all that the component wrote.
type Account struct {
	Attempts []Attempt
	// System is the namespace kube-system, Component the component's pod.
	System    corev1.Namespace
	Node      corev1.Node
	Component *corev1.Pod
	Log       string
}

// Attempt is a command in a pod.
type Attempt struct {
	// Act is the part of the scene.
	Act     string
	Pod     *corev1.Pod
	Command string
	Output  containers.Output
}

// Answers of the kernel.
const (
	Allowed = "allowed"
	Refused = "EPERM"
)

// Answer is what the kernel said, in the words of the C library.
func (a Attempt) Answer() string {
	switch {
	case strings.Contains(a.Output.Stdout+a.Output.Stderr, "Operation not permitted"):
		return Refused
	case a.Output.Code == 0:
		return Allowed
	}
	return fmt.Sprintf("exit status %d: %s%s", a.Output.Code, a.Output.Stdout, a.Output.Stderr)
}

// Parts of the scene.
const (
	Before     = "before the component is there"
	AsShipped  = "with the policy as it is shipped"
	Excluding  = "with pods left out"
	Relabelled = "a pod gets the label that is left out"
	Strict     = "with a policy by which nothing may become a program"
)

// What is tried: first the commands of the demo, then a new program that says of itself which process it was.
const (
	Session  = "/bin/id; /bin/ls /etc; /bin/cat /etc/app.conf"
	Backdoor = "/bin/cp /bin/sh /usr/bin/backdoor"
	AddUser  = "echo eve:x:0:0::/: >>/etc/passwd"
	Dropper  = containers.Actor + " create-executable=/usr/bin/dropper"
	// Mark is the argument of the last process.
	Mark = "end-of-the-scene"
)
