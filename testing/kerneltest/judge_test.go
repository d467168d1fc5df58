// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kerneltest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	guest := machine{
		chosen: true, root: true, release: "6.1.0-56-cloud-amd64", modules: "lockdown,capability,bpf",
		cmdline: "console=ttyS0 lsm=capability,bpf quiet", pinned: []string{"5.10", "6.1", "7.2"},
	}
	without := guest
	without.modules, without.cmdline = "lockdown,capability", "lsm=capability"
	outside := guest
	outside.chosen = false
	user := guest
	user.root = false
	broken := guest
	broken.modules = "lockdown,capability"
	surprising := guest
	surprising.cmdline = "lsm=capability"

	long := guest
	long.long = true

	for name, c := range map[string]struct {
		m     machine
		needs []string
		want  verdict
		why   string
	}{
		"nothing needed":              {guest, nil, run, ""},
		"met":                         {guest, []string{"5.10", "6.1", "lsm=bpf"}, run, ""},
		"older kernel":                {guest, []string{"lsm=bpf", "6.12"}, skip, "needs Linux 6.12"},
		"older major":                 {guest, []string{"7.0"}, skip, "needs Linux 7.0"},
		"newer than every kernel":     {guest, []string{"7.3"}, fail, "never runs"},
		"no such need":                {guest, []string{"btf"}, fail, `need "btf"`},
		"BPF LSM active":              {guest, []string{"lsm!=bpf"}, skip, "needs BPF LSM not active"},
		"BPF LSM not active":          {without, []string{"lsm=bpf"}, skip, "needs BPF LSM active"},
		"BPF LSM off as needed":       {without, []string{"lsm!=bpf"}, run, ""},
		"booted for BPF LSM, not on":  {broken, []string{"lsm=bpf"}, fail, "booted with"},
		"booted without BPF LSM, on":  {surprising, []string{"lsm!=bpf"}, fail, "booted without"},
		"once, here":                  {guest, []string{OnceWith}, run, ""},
		"once, elsewhere":             {guest, []string{OnceWithout}, skip, "runs without BPF LSM"},
		"once, without":               {without, []string{OnceWithout}, run, ""},
		"once, not without":           {without, []string{OnceWith}, skip, "runs with BPF LSM"},
		"once, this kernel":           {guest, []string{OnceOn + "6.1"}, run, ""},
		"once, another kernel":        {guest, []string{OnceOn + "5.10"}, skip, "runs on Linux 5.10"},
		"once, no such kernel":        {guest, []string{OnceOn + "4.4"}, fail, "never runs"},
		"time for every kernel":       {long, []string{OnceOn + "5.10"}, run, ""},
		"there is time":               {long, []string{OnceWith, OnceWithout}, run, ""},
		"on a developer's machine":    {outside, nil, skip, "virtual machines"},
		"not root where root is owed": {user, nil, fail, "not root"},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := c.m.judge(c.needs)
			require.Equal(t, c.want, got, why)
			require.Contains(t, why, c.why)
		})
	}
}
