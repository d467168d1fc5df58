// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/elastic/cloud-defend/testing/cluster"
	"github.com/elastic/cloud-defend/testing/containers"
)

//go:embed shop.yml
var shop []byte

// firstPod runs a command as the very first thing of a new pod.
const firstPod = `apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {app: %[1]s}}
spec:
  restartPolicy: Never
  containers: [{name: only, image: "web:1.0", command: [/bin/sh, -c, %[3]q]}]
`

// play tells in the account what was tried until something could not be done.
func (s *stage) play(ctx context.Context, disk, manifest, strict string) error {
	s.begin("a cluster starts")
	var err error
	if s.Cluster, err = cluster.Start(ctx, disk); err != nil {
		return err
	}
	s.begin("its API server answers; pods are asked for")
	// Refused until the controllers have made the namespaces' service accounts.
	if err := cluster.Poll(ctx, func() error { return s.Admin.Apply(ctx, shop) }); err != nil {
		return err
	}
	pods := map[string]*corev1.Pod{}
	for app, namespace := range map[string]string{"web": "shop", "patcher": "shop", "runner": "build"} {
		if pods[app], err = s.Pod(ctx, namespace, "app="+app); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	preventing, err := os.ReadFile(strict)
	if err != nil {
		return err
	}
	err = s.script(ctx, text, string(preventing), pods["web"], pods["patcher"], pods["runner"])
	if s.account.Component != nil {
		log, failed := s.Log(ctx, s.account.Component)
		s.show(log)
		err = errors.Join(err, failed, s.memory())
	}
	return err
}

func (s *stage) script(ctx context.Context, manifest []byte, strict string, web, patcher, runner *corev1.Pod) error {
	s.begin(cluster.Before)
	if err := s.try(ctx, web, cluster.Backdoor, cluster.AddUser, "rm /usr/bin/backdoor"); err != nil {
		return err
	}
	if err := s.deploy(ctx, manifest); err != nil {
		return err
	}
	s.begin(cluster.AsShipped)
	if err := s.try(ctx, web, cluster.Session); err != nil {
		return err
	}
	for _, pod := range []*corev1.Pod{web, patcher, runner} {
		if err := s.try(ctx, pod, cluster.Backdoor, cluster.AddUser); err != nil {
			return err
		}
	}
	if err := s.try(ctx, web, cluster.Dropper); err != nil {
		return err
	}
	if err := s.exclude(ctx, manifest); err != nil {
		return err
	}
	s.begin(cluster.Excluding)
	for _, pod := range []*corev1.Pod{web, patcher, runner} {
		if err := s.try(ctx, pod, cluster.Backdoor, cluster.AddUser); err != nil {
			return err
		}
	}
	for _, namespace := range []string{"shop", "build"} {
		if err := s.first(ctx, namespace, "first", cluster.AddUser); err != nil {
			return err
		}
	}
	if err := s.relabel(ctx, web); err != nil {
		return err
	}
	s.begin(cluster.Strict)
	shipped, err := policyOf(manifest)
	if err != nil {
		return err
	}
	processes, _, _ := strings.Cut(shipped, "\nfile:\n") // by whose documents the end is seen
	if err := s.policy(ctx, 3, processes+"\n"+strict); err != nil {
		return err
	}
	if err := s.first(ctx, "shop", "strict", cluster.Backdoor); err != nil {
		return err
	}
	return s.finish(ctx, web)
}

// deploy puts the component into the cluster as its manifest says, and waits until it enforces and knows the pods.
func (s *stage) deploy(ctx context.Context, manifest []byte) error {
	s.begin("the component is deployed")
	if err := s.Admin.Apply(ctx, manifest); err != nil {
		return err
	}
	var err error
	if s.account.Component, err = s.Pod(ctx, "kube-system", "app.kubernetes.io/name=cloud-defend"); err != nil {
		return err
	}
	s.begin("its pod runs")
	return s.said(ctx, 1, "enforcing revision", "pods are known through Kubernetes")
}

// sayTime is what the component gets for what takes seconds on a machine of its own.
const sayTime = 15 * time.Minute

// said waits until the component has said each of these so many times.
func (s *stage) said(ctx context.Context, times int, texts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, sayTime)
	defer cancel()
	return cluster.Poll(ctx, func() error {
		log, err := s.Log(ctx, s.account.Component)
		if err != nil {
			fmt.Println("         ", err)
			return err
		}
		s.show(log)
		for _, text := range texts {
			if strings.Count(log, text) < times {
				return fmt.Errorf("the component has not said %q", text)
			}
		}
		return nil
	})
}

// show prints what the component has said since the last time, without its documents.
func (s *stage) show(log string) {
	for line := range strings.Lines(strings.TrimPrefix(log, s.account.Log)) {
		if !strings.HasPrefix(line, "{") {
			fmt.Print("         | ", line)
		}
	}
	s.account.Log = log
}

// memory says what the kernel counted as the component's, which is more than its own: maps, and what the verifier takes.
func (s *stage) memory() error {
	const groups = "/sys/fs/cgroup"
	id := cluster.ContainerID(s.account.Component)
	return filepath.WalkDir(groups, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != id {
			return err
		}
		for _, name := range []string{"memory.max", "memory.peak", "memory.events"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			fmt.Printf("         %s: %s\n", name, strings.Join(strings.Fields(string(text)), " "))
		}
		return nil
	})
}

// exclude changes the policy of the ConfigMap as a person would, who wants pods left out.
func (s *stage) exclude(ctx context.Context, manifest []byte) error {
	s.begin("the policy is changed to leave out pods with a label, and those of a namespace")
	policy, err := policyOf(manifest)
	if err != nil {
		return err
	}
	policy = strings.Replace(policy, "file:\n  selectors:\n", "file:\n  selectors:\n"+
		"    - {name: patchers, kubernetesPodLabel: [drift:allowed]}\n    - {name: builds, kubernetesNamespace: [build]}\n", 1)
	before, responses, _ := strings.Cut(policy, "\nfile:\n")
	policy = before + "\nfile:\n" + strings.ReplaceAll(responses, "      actions:", "      exclude: [patchers, builds]\n      actions:")
	return s.policy(ctx, 2, policy)
}

// policy has the component's policy replaced, for the so manyeth in force.
func (s *stage) policy(ctx context.Context, which int, text string) error {
	change, err := json.Marshal(map[string]any{"data": map[string]string{"policy.yml": text}})
	if err != nil {
		return err
	}
	if err := s.Admin.Patch(ctx, "/api/v1/namespaces/kube-system/configmaps/cloud-defend", string(change)); err != nil {
		return err
	}
	return s.said(ctx, which, "enforcing revision")
}

func policyOf(manifest []byte) (string, error) {
	for _, text := range strings.Split(string(manifest), "\n---\n") {
		var o struct {
			Kind string            `yaml:"kind"`
			Data map[string]string `yaml:"data"`
		}
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			return "", err
		}
		if o.Kind == "ConfigMap" {
			return o.Data["policy.yml"], nil
		}
	}
	return "", errors.New("the manifest has no ConfigMap")
}

// try runs shell's commands in a pod.
func (s *stage) try(ctx context.Context, pod *corev1.Pod, commands ...string) error {
	for _, command := range commands {
		// Without a word after it, the shell would turn itself into the last program and be missing from its lineage.
		out, err := s.Exec(ctx, pod, "/bin/sh", "-c", command+"; exit")
		if err != nil {
			return err
		}
		s.record(pod, command, out)
	}
	return nil
}

func (s *stage) record(pod *corev1.Pod, command string, out containers.Output) {
	a := cluster.Attempt{Act: s.act, Pod: pod, Command: command, Output: out}
	s.account.Attempts = append(s.account.Attempts, a)
	fmt.Printf("         %s/%s $ %s: %s\n", pod.Namespace, pod.Name, command, a.Answer())
}

// first runs a command as a new pod.
func (s *stage) first(ctx context.Context, namespace, name, command string) error {
	if err := s.Admin.Apply(ctx, fmt.Appendf(nil, firstPod, name, namespace, command)); err != nil {
		return err
	}
	pod, out, err := s.Ended(ctx, namespace, "app="+name)
	if err != nil {
		return err
	}
	s.record(pod, command, out)
	return nil
}

// relabel gives a pod that runs the label that the policy leaves out.
func (s *stage) relabel(ctx context.Context, web *corev1.Pod) error {
	s.begin(cluster.Relabelled)
	change := `{"metadata":{"labels":{"drift":"allowed"}}}`
	if err := s.Admin.Patch(ctx, "/api/v1/namespaces/shop/pods/"+web.Name, change); err != nil {
		return err
	}
	return cluster.Poll(ctx, func() error {
		if err := s.try(ctx, web, cluster.AddUser); err != nil {
			return err
		}
		if answer := s.account.Attempts[len(s.account.Attempts)-1].Answer(); answer != cluster.Allowed {
			return errors.New("the answer is still " + answer)
		}
		return nil
	})
}

// finish waits for the documents of all that was tried, which are there when that of a later process is.
func (s *stage) finish(ctx context.Context, web *corev1.Pod) error {
	s.begin("the documents are awaited")
	if err := s.try(ctx, web, "/bin/true "+cluster.Mark); err != nil {
		return err
	}
	if err := s.said(ctx, 1, `"/bin/true","`+cluster.Mark+`"`); err != nil {
		return err
	}
	return errors.Join(
		s.Admin.Read(ctx, "/api/v1/namespaces/kube-system", &s.account.System),
		s.Admin.Read(ctx, "/api/v1/nodes/guest", &s.account.Node),
	)
}
