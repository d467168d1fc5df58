// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// Where files lie in containers, from the distribution's to the application's, and what they are called.
var (
	folders = strings.Fields(`/bin /etc /etc /etc/ssl/certs /etc/nginx/conf.d /etc/apt/sources.list.d /usr/bin /usr/bin
		/usr/sbin /usr/lib /usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /usr/lib/python3/dist-packages
		/usr/lib/locale/C.utf8 /usr/libexec /usr/local/bin /usr/local/lib/node_modules /usr/share/doc
		/usr/share/zoneinfo/Europe /usr/share/ca-certificates/mozilla /var/lib/postgresql/data/base /var/lib/dpkg/info
		/var/lib/redis /var/log /var/log/nginx /var/cache/apt/archives /var/spool/cron/crontabs /var/tmp /opt/app
		/opt/java/lib/server /srv/www/html /srv/git /home/app /home/app/.ssh /home/app/.cache /root /root/.ssh /tmp
		/run /run/secrets/kubernetes.io/serviceaccount /run/lock /dev/shm /app /app/dist /app/node_modules
		/data/db/journal /mnt/uploads`)
	words = strings.Fields(`access admin agent apache api archive auth backup base cache cert client cluster common config
		cron current daemon data default entry error events export files group health hosts image index init job key
		lang list lock login main master media meta module mysql network node package passwd plugin policy proxy queue
		release report resolv run schema script secret server session shadow site socket state store sudoers system
		table task temp token trust update upload user version wal web worker zone`)
	endings = strings.Fields(`- - - - .conf .conf .so .so.6 .py .js .json .log .pid .pem .yml .db .html .sh .list .lock`)
)

// paths is an endless supply of realistic ones, the same at every run.
type paths struct{ random *rand.Rand }

func newPaths(seed uint64) paths {
	return paths{rand.New(rand.NewPCG(seed, 4))}
}

func (p paths) one(of []string) string { return of[p.random.IntN(len(of))] }

// file returns the path of a file, at a depth of two to nine.
func (p paths) file() string {
	at := p.one(folders)
	for p.random.IntN(5) == 0 {
		at += "/" + p.one(words)
	}
	name := p.one(words)
	switch p.random.IntN(3) {
	case 0:
		name += "-" + p.one(words)
	case 1:
		name += fmt.Sprint(p.random.IntN(32))
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

// distinct collects n different values, none of which lies under another as if that were a folder.
func distinct(n int, next func() string) []string {
	seen, folder := map[string]bool{}, map[string]bool{}
	var all []string
	for len(all) < n {
		value := next()
		if seen[value] || folder[value] || isUnder(seen, value) {
			continue
		}
		seen[value] = true
		for at := path.Dir(value); at != "/"; at = path.Dir(at) {
			folder[at] = true
		}
		all = append(all, value)
	}
	return all
}

func isUnder(files map[string]bool, value string) bool {
	for at := path.Dir(value); at != "/"; at = path.Dir(at) {
		if files[at] {
			return true
		}
	}
	return false
}

// corpus returns the paths that are matched.
func corpus(n int) []string { return distinct(n, newPaths(1).file) }

// patterns returns what they are matched with: every fourth of the first hundreds is a path of the corpus itself.
func patterns(n int) []string { return distinctPatterns(n, newPaths(2).pattern) }

func distinctPatterns(n int, next func() string) []string {
	seen := map[string]bool{}
	all := make([]string, 0, n)
	for len(all) < n {
		if value := next(); !seen[value] {
			seen[value] = true
			all = append(all, value)
		}
	}
	return all
}

// selectorsOf deals the patterns out to at most 63 selectors of files.
func selectorsOf(patterns []string) []policy.Selector {
	selectors := make([]policy.Selector, min(len(patterns), policy.MaxItems-1))
	for i := range selectors {
		selectors[i].Name = fmt.Sprint("paths", i)
	}
	for i, pattern := range patterns {
		s := &selectors[i%len(selectors)]
		s.TargetFilePath = append(s.TargetFilePath, pattern)
	}
	return selectors
}

// quiet makes a policy that has to evaluate everything and reports nothing: each of its eight responses excludes a
// selector that always matches.
func quiet(selectors []policy.Selector, operations ...policy.Operation) (*ruleset.Ruleset, error) {
	all := policy.Selector{Name: "all"}
	section := &policy.Section{Selectors: append(selectors, all)}
	for i := range section.Selectors {
		section.Selectors[i].Operations = operations
	}
	for i := range 8 {
		r := policy.Response{Exclude: []string{all.Name}, Actions: policy.Alert}
		for s := i; s < len(selectors); s += 8 {
			r.Match = append(r.Match, selectors[s].Name)
		}
		if r.Match == nil {
			r.Match = []string{selectors[0].Name}
		}
		section.Responses = append(section.Responses, r)
	}
	return ruleset.Compile(&policy.Policy{File: section})
}
