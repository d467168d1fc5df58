// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	imageref "github.com/distribution/reference"
)

// Case is one operation that is only described, and what a policy is expected to do about it. The package comment has
// the language of cases.
type Case struct {
	Name string
	// Line is where the case begins in its file.
	Line      int
	Type      Type
	Operation Operation
	Container Surroundings
	// Path is the file that the operation is about, or the executable of the process.
	Path string
	// OnVolume says that the file is on a volume mounted into the container, OnVolumeFile that it is itself such a
	// mount. File only.
	OnVolume, OnVolumeFile bool
	// UserID is the effective user, UserName the name that its container has for it. Process only.
	UserID   uint32
	UserName string
	// SessionLeader is the path of the session leader's executable, empty where nothing is known of it. Process only.
	SessionLeader string
	Interactive   bool // Process only
	// Selectors are those of the responses that are expected to fire; nil expects nothing in particular, an empty list
	// expects none.
	Selectors []string
	// Actions are the expected ones; nil expects nothing in particular.
	Actions *Action
}

// Surroundings is the container in which a Case happens, in the words of its author.
type Surroundings struct {
	// Unknown is a container about which the runtime has said nothing yet. The other fields are empty then.
	Unknown bool
	// Image is a reference as container runtimes read it, with or without registry and tag.
	Image                  string
	Namespace, Pod         string
	Labels                 map[string]string
	ClusterID, ClusterName string
}

// What a case says about its operation, by the operation's type; the first key is the object.
var (
	fileKeys    = []string{"path", "mounted"}
	processKeys = []string{"executable", "user", "userName", "sessionLeader", "interactive"}
)

const whatACaseIs = `a case has "name", "operation", "path" or "executable", "expect" and perhaps "container"`

// ParseCases reads a file of cases for a policy. As with Parse, the error is an *Error with every fault found, and
// warnings are given in both cases.
func ParseCases(name string, text []byte, pol *Policy) ([]Case, []Warning, error) {
	p := &caseParser{parser{file: name, language: cases}, pol}
	var list []Case
	if root := p.document(text); root != nil {
		list = p.cases(whole(root))
	}
	warnings, err := p.verdict()
	if err != nil {
		return nil, warnings, err
	}
	return list, warnings, nil
}

type caseParser struct {
	parser
	policy *Policy
}

// keyed reads a map with known keys, some of which must be there.
func (p *parser) keyed(v value, remedy string, required, optional []string) (map[string]value, bool) {
	prefix := v.key
	if prefix != "" {
		prefix += "."
	}
	entries, ok := p.entries(v, prefix, remedy)
	if !ok {
		return nil, false
	}
	given := map[string]value{}
	missing, valid := slices.Clone(required), slices.Concat(required, optional)
	for _, e := range entries {
		missing = without(missing, e.name)
		if slices.Contains(valid, e.name) {
			given[e.name] = e.value
			continue
		}
		missing = without(missing, p.unknownKey(e, valid...))
	}
	for _, key := range missing {
		p.fault(v.at, v.key, fmt.Sprintf("%q is missing", key), remedy)
	}
	return given, true
}

const casesKey = "cases"

func (p *caseParser) cases(root value) []Case {
	if p.isPolicy(root) {
		p.fault(root.at, "", "this is a policy, and no file of cases", p.language.shape)
		return nil
	}
	given, _ := p.keyed(root, p.language.shape, []string{casesKey}, nil)
	v, ok := given[casesKey]
	if !ok {
		return nil
	}
	list, _ := p.someElements(v, "write at least one case")
	lines := map[string]int{}
	var out []Case
	for _, item := range list {
		c := p.one(item)
		if first, ok := lines[c.Name]; ok && c.Name != "" {
			p.fault(item.at, item.key, fmt.Sprintf("the name %s is taken by the case on line %d", quote(c.Name), first), "give it another name")
		}
		lines[c.Name] = c.Line
		out = append(out, c)
	}
	return out
}

// isPolicy recognises what is given for a file of cases by mistake.
func (p *caseParser) isPolicy(root value) bool {
	content := resolve(root.node).Content
	for i := 0; i < len(content) && kindOf(root.node) == isMap; i += 2 {
		switch resolve(content[i]).Value {
		case casesKey:
			return false
		case File.String(), Process.String():
			return true
		}
	}
	return false
}

func (p *caseParser) one(v value) Case {
	c := Case{Line: v.at.Line}
	given, ok := p.keyed(v, whatACaseIs, []string{"name", "operation", "expect"},
		slices.Concat([]string{"container"}, fileKeys, processKeys))
	if !ok {
		return c
	}
	if name, ok := given["name"]; ok {
		c.Name = p.someText(name)
	}
	if where, ok := given["container"]; ok {
		c.Container = p.surroundings(where)
	}
	op, ok := given["operation"]
	types := Types[:] // of which the operation may be
	if ok && p.operation(op, &c) {
		types = []Type{c.Type}
		p.ownKeys(v, given, &c)
	} else if _, ok := given[processKeys[0]]; ok {
		c.Type = Process
	}
	p.object(given, &c)
	if expect, ok := given["expect"]; ok {
		p.expectation(expect, &c, types)
	}
	return c
}

func (p *caseParser) someText(v value) string {
	s, ok := p.text(v)
	if ok && s == "" {
		p.fault(v.node, v.key, "the value is empty", "write a value or remove it")
	}
	return s
}

func (p *caseParser) operation(v value, c *Case) bool {
	if kindOf(v.node) != isText {
		p.wrongKind(v, isText, "write one operation, as in createFile")
		return false
	}
	name := resolve(v.node).Value
	for _, t := range Types {
		if i := slices.Index(operationNames[t], name); i >= 0 {
			c.Type, c.Operation = t, Operation(i)
			return true
		}
	}
	p.fault(v.node, v.key, quote(name)+" is not an operation", hint(name, slices.Concat(operationNames[:]...)))
	return false
}

// keysOfCase are the keys of a type, and those of the other one.
func keysOfCase(t Type) (wanted, other []string) {
	if t == Process {
		return processKeys, fileKeys
	}
	return fileKeys, processKeys
}

// ownKeys holds a case to the keys of its type.
func (p *caseParser) ownKeys(v value, given map[string]value, c *Case) {
	wanted, other := keysOfCase(c.Type)
	op := c.Type.OperationName(c.Operation)
	for _, key := range other {
		if wrong, ok := given[key]; ok {
			p.fault(wrong.at, wrong.key, fmt.Sprintf("a case of %s has no %q", op, key), oneOf(wanted))
		}
	}
	_, is := given[wanted[0]]
	if _, wrong := given[other[0]]; !is && !wrong {
		p.fault(v.at, v.key, fmt.Sprintf("%q is missing", wanted[0]), "write the absolute path as a process of the container sees it")
	}
}

// object reads what the operation is about.
func (p *caseParser) object(given map[string]value, c *Case) {
	wanted, _ := keysOfCase(c.Type)
	if path, ok := given[wanted[0]]; ok {
		c.Path = p.path(path)
	}
	if mounted, ok := given["mounted"]; ok {
		p.mounted(mounted, c)
	}
	if c.Type == Process {
		p.actor(given, c)
	}
}

// actor reads who does something.
func (p *caseParser) actor(given map[string]value, c *Case) {
	if interactive, ok := given["interactive"]; ok {
		c.Interactive, _ = p.boolean(interactive)
	}
	if user, ok := given["user"]; ok {
		c.UserID, _ = p.userID(user)
	}
	if name, ok := given["userName"]; ok {
		c.UserName = p.someText(name)
		if c.Container.Unknown {
			p.warn(name.at, name.key, "nobody knows the names of users in an unknown container, so this says nothing", "remove it")
		}
	}
	if leader, ok := given["sessionLeader"]; ok {
		c.SessionLeader = p.path(leader)
	}
}

// path reads the path of one file.
func (p *caseParser) path(v value) string {
	s, ok := p.text(v)
	if !ok {
		return ""
	}
	components := strings.Split(s, "/")
	odd := func(c string) bool { return c == "" || c == "." || c == ".." }
	if s != "/" && (components[0] != "" || slices.ContainsFunc(components[1:], odd)) || strings.ContainsRune(s, 0) {
		p.fault(v.node, v.key, quote(s)+" is not the path of a file",
			`write an absolute path without ".", ".." and a slash at its end, as in /usr/bin/curl`)
		return ""
	}
	if strings.ContainsRune(s, '*') {
		p.warn(v.node, v.key, `"*" is no wildcard in a case: `+quote(s)+" is one file of that name", "")
	}
	return s
}

func (p *caseParser) mounted(v value, c *Case) {
	const remedy = `write volume for a file on a mounted volume, file for a file that is mounted itself, or remove the key`
	if kindOf(v.node) != isText {
		p.wrongKind(v, isText, remedy)
		return
	}
	switch s := resolve(v.node).Value; s {
	case "volume":
		c.OnVolume = true
	case "file":
		c.OnVolume, c.OnVolumeFile = true, true
	default:
		p.fault(v.node, v.key, quote(s)+" is not a kind of mount", remedy)
	}
}

// imageID is an image without a name. CRI-O leaves the algorithm out.
var imageID = regexp.MustCompile(`^(?:sha256:)?[0-9a-f]{64}$`)

func (p *caseParser) surroundings(v value) Surroundings {
	if kindOf(v.node) == isText && resolve(v.node).Value == "unknown" {
		return Surroundings{Unknown: true}
	}
	var s Surroundings
	texts := map[string]*string{
		"image": &s.Image, "namespace": &s.Namespace, "pod": &s.Pod, "clusterId": &s.ClusterID, "clusterName": &s.ClusterName,
	}
	given, _ := p.keyed(v, `write a map with what is known of the container, or "unknown"`, nil,
		[]string{"image", "namespace", "pod", "labels", "clusterId", "clusterName"})
	for key, text := range texts {
		if is, ok := given[key]; ok {
			*text = p.someText(is)
		}
	}
	if is, ok := given["image"]; ok && s.Image != "" && !imageID.MatchString(s.Image) {
		if _, err := imageref.ParseNormalizedNamed(s.Image); err != nil {
			p.warn(is.node, is.key, quote(s.Image)+" does not have the form of an image's name", "write it as in nginx:1.27 or registry.example.org/shop/web:1")
		}
	}
	if labels, ok := given["labels"]; ok {
		s.Labels = p.labels(labels)
	}
	return s
}

func (p *caseParser) labels(v value) map[string]string {
	entries, _ := p.entries(v, v.key+".", "write a map of labels, as in {app: web}")
	labels := map[string]string{}
	for _, e := range entries {
		if s, ok := p.text(e.value); ok {
			labels[e.name] = s
		}
	}
	return labels
}
