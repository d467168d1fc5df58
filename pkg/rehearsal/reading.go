// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package rehearsal

import (
	"slices"
	"strconv"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// operations reads event.action: the ways in which the document may be understood, or why no policy judges it.
func (d *document) operations() (readings [][]policy.Case, skipped string) {
	if slices.Contains(d.Event.Category, "process") {
		return d.processOperations()
	}
	path, ok := d.path("file.path", d.File.Path)
	if !ok {
		return nil, "its file.path is not whole"
	}
	create, modify := d.byMode(policy.CreateExecutable, policy.CreateFile), d.byMode(policy.ModifyExecutable, policy.ModifyFile)
	switch d.action() {
	case "creation", "link":
		return onFile(path, create...), ""
	case "open":
		return onFile(path, modify...), ""
	case "access":
		return onFile(path, policy.OpenFile), ""
	case "deletion":
		return onFile(path, policy.DeleteFile), ""
	case "modification":
		if d.CloudDefend.HookPoint.first() == "lsm__path_chmod" {
			return d.chmod(path), ""
		}
		return onFile(path, modify...), ""
	case "rename":
		return d.rename(path, append(create, modify...))
	}
	return nil, "no operation that a policy judges"
}

func onFile(path string, ops ...policy.Operation) [][]policy.Case {
	var readings [][]policy.Case
	for _, op := range ops {
		readings = append(readings, []policy.Case{{Type: policy.File, Operation: op, Path: path}})
	}
	return readings
}

// byMode chooses by file.mode; without one, either may be meant.
func (d *document) byMode(executable, other policy.Operation) []policy.Operation {
	mode, err := strconv.ParseUint(d.File.Mode, 8, 32)
	switch {
	case d.File.Type != "" && d.File.Type != "file":
		return []policy.Operation{other}
	case err != nil:
		return []policy.Operation{other, executable}
	case mode&0o111 != 0:
		return []policy.Operation{executable}
	}
	return []policy.Operation{other}
}

// chmod reads a change of mode. A document has the new one only. A file that becomes executable is modified as well.
func (d *document) chmod(path string) [][]policy.Case {
	likely := d.byMode(policy.CreateExecutable, policy.ModifyFile)
	if d.File.Type == "" || d.File.Type == "file" {
		likely = append(likely, policy.ModifyExecutable)
	}
	readings := onFile(path, likely...)
	for i, r := range readings {
		if r[0].Operation == policy.CreateExecutable {
			readings[i] = append(r, policy.Case{Type: policy.File, Operation: policy.ModifyFile, Path: path})
		}
	}
	return readings
}

// rename adds the old name, which goes, to each way of understanding the new one, which comes or is replaced.
func (d *document) rename(path string, ops []policy.Operation) ([][]policy.Case, string) {
	from, ok := d.path("file.Ext.original.path", d.File.Ext.Original.Path)
	if !ok {
		return nil, "its file.Ext.original.path is not whole"
	}
	readings := onFile(path, ops...)
	for i := range readings {
		readings[i] = append(readings[i], policy.Case{Type: policy.File, Operation: policy.DeleteFile, Path: from})
	}
	return readings, ""
}

func (d *document) processOperations() ([][]policy.Case, string) {
	c := policy.Case{Type: policy.Process}
	switch d.action() {
	case "fork":
		c.Operation = policy.Fork
	case "exec":
		c.Operation = policy.Exec
	default:
		return nil, "no operation that a policy judges"
	}
	var ok bool
	if c.Path, ok = d.path("process.executable", d.Process.Executable); !ok {
		return nil, "its process.executable is not whole"
	}
	c.Interactive = d.Process.Interactive != nil && *d.Process.Interactive
	if id, err := strconv.ParseUint(d.User.ID, 10, 32); err == nil {
		c.UserID, c.UserName = uint32(id), d.User.Name
	}
	c.SessionLeader, _ = d.path("process.session_leader.executable", d.Process.SessionLeader.Executable)
	return [][]policy.Case{{c}}, ""
}

// untoldActor lists the conditions on the process of which the document says nothing.
func (d *document) untoldActor(c policy.Case) []string {
	var untold []string
	if d.Process.Interactive == nil {
		untold = append(untold, "sessionLeaderInteractive")
	}
	if d.User.ID == "" {
		untold = append(untold, "processUserId")
	}
	if c.UserName == "" {
		untold = append(untold, "processUserName")
	}
	if c.SessionLeader == "" {
		untold = append(untold, "sessionLeaderName", "sessionLeaderExecutable")
	}
	return untold
}

// path is a path as the kernel had it; ok is false when the document has only a part of it.
func (d *document) path(field, text string) (path string, ok bool) {
	if text == "" || text[0] != '/' || slices.Contains(d.CloudDefend.Truncated, field) || slices.Contains(d.CloudDefend.Unresolved, field) {
		return "", false
	}
	if slices.Contains(d.CloudDefend.Escaped, field) {
		text = unescape(text)
	}
	return text, true
}

// unescape takes back what package ecs does to a field whose bytes are not UTF-8.
func unescape(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		if text[i+1] == 'x' && i+4 <= len(text) {
			if b, err := strconv.ParseUint(text[i+2:i+4], 16, 8); err == nil {
				out = append(out, byte(b))
				i += 3
				continue
			}
		}
		i++
		out = append(out, text[i])
	}
	return string(out)
}
