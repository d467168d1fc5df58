// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package workload makes what is measured with: realistic paths of containers, patterns that some of them match, and
// policies that have to look at all of it. The same at every run.
package workload

import (
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// Where files lie in containers, from the distribution's to the application's, and what they are called.
var (
	folders = strings.Fields(`/bin /etc /etc /etc/ssl/certs /etc/nginx/conf.d /etc/apt/sources.list.d /usr/bin /usr/bin
		/usr/sbin /usr/lib /usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /usr/lib/python3/dist-packages
		/usr/lib/locale/C.utf8 /usr/libexec /usr/local/bin /usr/local/lib/node_modules /usr/share/doc
		/usr/share/zoneinfo/Europe /usr/share/ca-certificates/mozilla /var/lib/postgresql/data/base /var/lib/dpkg/info
		/var/lib/redis /var/log /var/log/nginx /var/cache/apt/archives /var/spool/cron/crontabs /var/tmp /opt/app
		/opt/java/lib/server /srv/www/html /srv/git /home/app /home/app/.ssh /home/app/.config /root /root/.ssh /tmp
		/run /run/secrets/kubernetes.io/serviceaccount /run/lock /dev/shm /app /app/dist /app/node_modules
		/data/db/journal /mnt/uploads`)
	words = strings.Fields(`access admin agent apache api archive auth backup base cache cert client cluster common config
		cron current daemon data default entry error events export files group health hosts image index init job key
		lang list lock login main master media meta module mysql network node package passwd plugin policy proxy queue
		release report resolv run schema script secret server session shadow site socket state store sudoers system
		table task temp token trust update upload user version wal web worker zone`)
	endings = strings.Fields(`- - - - .conf .conf .so .so.6 .py .js .json .log .pid .pem .yml .db .html .sh .list .lock`)
)

// paths is an endless supply of realistic ones.
type paths struct{ random *rand.Rand }

func newPaths(seed uint64) paths {
	return paths{rand.New(rand.NewPCG(seed, 4))}
}

func (p paths) one(of []string) string { return of[p.random.IntN(len(of))] }

// file returns the path of a file, at a depth of two to eight.
func (p paths) file() string {
	at := p.one(folders)
	for range p.random.IntN(3) {
		at += "/" + p.one(words)
	}
	name := p.one(words)
	switch p.random.IntN(4) {
	case 0, 1:
		name += "-" + p.one(words)
	case 2:
		name += strconv.Itoa(p.random.IntN(32))
	}
	return at + "/" + name + strings.TrimPrefix(p.one(endings), "-")
}

// pattern returns one of the three forms of the language: half are files, the rest a folder's children or all below it.
func (p paths) pattern() string {
	file := p.file()
	switch p.random.IntN(10) {
	case 0, 1, 2, 3, 4:
		return file
	case 5, 6, 7:
		return path.Dir(file) + "/*"
	}
	return path.Dir(file) + "/" + p.one(words) + "/**"
}

// Corpus returns n paths of files. None lies under another, so that all of them can be made.
func Corpus(n int) []string {
	p := newPaths(1)
	var all, taken []string
	for len(all) < n {
		file := p.file()
		if slices.ContainsFunc(taken, func(t string) bool { return overlap(t, file) }) {
			continue
		}
		taken = append(taken, file)
		all = append(all, file)
	}
	return all
}

// overlap reports whether two paths are the same, or one is a folder of the other.
func overlap(a, b string) bool {
	return strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/")
}

// Patterns returns n different ones, of the same folders and words as the Corpus.
func Patterns(n int) []string {
	p, seen := newPaths(2), map[string]bool{}
	all := make([]string, 0, n)
	for len(all) < n {
		if pattern := p.pattern(); !seen[pattern] {
			seen[pattern] = true
			all = append(all, pattern)
		}
	}
	return all
}

// Selectors is how many a policy of so many patterns has, one less than there can be.
func Selectors(patterns int) int { return min(patterns, policy.MaxItems-1) }

// Silent is a section of type t that has to look at everything and never fires: its patterns are dealt out to up to 63
// selectors, and each of its eight responses, with these actions, excludes a selector that always matches.
func Silent(t policy.Type, patterns []string, actions policy.Action, operations ...policy.Operation) *policy.Section {
	named := make([]policy.Selector, Selectors(len(patterns)))
	for i, pattern := range patterns {
		s := &named[i%len(named)]
		if t == policy.File {
			s.TargetFilePath = append(s.TargetFilePath, pattern)
		} else {
			s.ProcessExecutable = append(s.ProcessExecutable, pattern)
		}
	}
	section := &policy.Section{Responses: make([]policy.Response, 8)}
	for i, s := range append(named, policy.Selector{}) {
		s.Name, s.Operations = "s"+strconv.Itoa(i), operations
		section.Selectors = append(section.Selectors, s)
	}
	everything := section.Selectors[len(named)].Name
	for i := range section.Responses {
		r := &section.Responses[i]
		r.Exclude, r.Actions = []string{everything}, actions
		for s := i % len(named); s < len(named); s += len(section.Responses) {
			r.Match = append(r.Match, section.Selectors[s].Name)
		}
	}
	return section
}
