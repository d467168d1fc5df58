// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// usualDirectories are those of the Filesystem Hierarchy Standard, and what most images and many policies have besides.
var usualDirectories = []string{
	"/boot", "/dev", "/etc", "/home", "/media", "/mnt", "/opt", "/proc", "/root", "/run",
	"/srv", "/sys", "/tmp", "/usr", "/var",
	"/usr/bin", "/usr/games", "/usr/include", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local", "/usr/sbin",
	"/usr/share", "/usr/src",
	"/usr/local/bin", "/usr/local/etc", "/usr/local/include", "/usr/local/lib", "/usr/local/libexec", "/usr/local/sbin",
	"/usr/local/share", "/usr/local/src",
	"/var/cache", "/var/lib", "/var/log", "/var/mail", "/var/opt", "/var/spool", "/var/tmp", "/var/www",
	"/var/spool/cron", "/var/spool/cron/crontabs", "/var/www/html",
	"/dev/shm", "/run/secrets", "/var/run/secrets", "/root/.ssh",
	"/etc/apt", "/etc/cron.d", "/etc/cron.daily", "/etc/cron.hourly", "/etc/cron.monthly", "/etc/cron.weekly", "/etc/default",
	"/etc/init.d", "/etc/kubernetes", "/etc/ld.so.conf.d", "/etc/logrotate.d", "/etc/nginx", "/etc/pam.d", "/etc/profile.d",
	"/etc/security", "/etc/ssh", "/etc/ssl", "/etc/sudoers.d", "/etc/systemd", "/etc/systemd/system",
}

// namesDirectory finds a directory that a path names, in which nothing then matches: a path is that of a file. It is meant
// as it stands where another value is about something in the directory.
func namesDirectory(path string, all []string) (dir string, is bool) {
	before, after, _ := strings.Cut(path, "*")
	if strings.ContainsRune(after, '*') || strings.ContainsRune(after, '/') || path == before+"*" && strings.HasSuffix(before, "/") {
		return "", false
	}
	at := slices.IndexFunc(usualDirectories, func(dir string) bool {
		if before == path {
			return dir == path
		}
		text, begins := strings.CutPrefix(dir, before)
		text, ends := strings.CutSuffix(text, after)
		return begins && ends && !strings.ContainsRune(text, '/')
	})
	if at < 0 {
		return "", false
	}
	dir = usualDirectories[at]
	return dir, !slices.ContainsFunc(all, func(other string) bool {
		return strings.HasPrefix(other, dir+"/") || strings.HasPrefix(other, path+"/") || covers(other, dir+"/x")
	})
}

// namedDirectory is a path that names a directory, and one that it names.
type namedDirectory struct {
	value
	path, dir string
}

// directories doubts them where a response matches them. An exclude may mean the directory, to let it be renamed.
func (p *parser) directories(s *section) {
	for i := range s.selectors {
		sel := &s.selectors[i]
		if !slices.ContainsFunc(s.responses, func(r response) bool { return slices.Contains(r.Match, sel.Name) }) {
			continue
		}
		for _, d := range sel.directories {
			p.warn(d.node, d.key, quote(d.path)+" names "+d.dir+", a directory in most images, and nothing that is in it",
				fmt.Sprintf("write %s/* for what is directly in it or %s/** for everything below", d.path, d.path))
		}
	}
}
