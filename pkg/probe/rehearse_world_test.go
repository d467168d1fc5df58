// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/container"
	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// world makes random policies of the whole language, and operations that have something to do with them.
type world struct {
	*rand.Rand
	byName    bool // no selector asks for a path of an executable
	exploding bool // one automaton does not hold the paths of files
}

func newWorld(seed uint64) world { return world{Rand: rand.New(rand.NewPCG(seed, 20))} }

func (w world) chance(percent int) bool { return w.IntN(100) < percent }

func pick[T any](w world, from []T) T { return from[w.IntN(len(from))] }

// several are up to most values that make gives, at least one.
func several[T any](w world, most int, make func() T) []T {
	list := []T{make()}
	for len(list) < most && w.chance(60) {
		list = append(list, make())
	}
	return list
}

var worldNames = []string{
	"a", "b", "ab", "abc", "usr", "bin", "lib", "etc", "tmp", "x.so", "lib.so.3", "sh", "bash", "nginx", "é", "x y", "[a]", "?",
	"fifteen-bytes-x", "fifteen-bytes-xy", "fourteen-bytes", ".x", "..x", strings.Repeat("n", 255), strings.Repeat("long", 12),
}

func (w world) name() string {
	if w.chance(80) {
		return worldNames[w.IntN(13)]
	}
	return pick(w, worldNames)
}

// pattern is a path as selectors have it.
func (w world) pattern(most int) string {
	for {
		var b strings.Builder
		for range w.IntN(4) {
			b.WriteString("/" + w.component())
		}
		switch w.IntN(4) {
		case 0:
			b.WriteString("/*")
		case 1:
			b.WriteString("/**")
		default:
			b.WriteString("/" + w.component())
		}
		if b.Len() <= most {
			return b.String()
		}
	}
}

// component is a literal three times of four, else some glob.
func (w world) component() string {
	if w.chance(75) {
		return w.name()
	}
	switch w.IntN(6) {
	case 0:
		return "**"
	case 1:
		return "*"
	case 2:
		return "*" + w.name()
	case 3:
		return w.name() + "*"
	case 4:
		return pick(w, worldNames[:6]) + "*" + pick(w, worldNames[:13])
	default:
		return "*" + pick(w, worldNames[:4]) + "*"
	}
}

var (
	worldImages     = []string{"nginx", "ng*", "app", "a*p"}
	worldFullNames  = []string{"docker.io/library/nginx", "docker.io/*", "quay.io/x/app"}
	worldTags       = []string{"1.27", "1.*", "latest"}
	worldNamespaces = []string{"shop", "st*", "staging"}
	worldPods       = []string{"web-*", "web-1", "*", "w*1"}
	worldLabels     = []string{"app:web", "app:w*", "tier:*", "app_name:x", "empty:"}
	worldUsers      = []uint32{0, 1, 33, 1000, 65534, 1<<32 - 2}
	worldUserNames  = []string{"root", "www-data", "nobody"}
	worldCluster    = ruleset.Cluster{ID: "c1", Name: "prod"}
)

// boxes are the containers of the world.
var boxes = []container.Container{
	{Image: container.ParseImage("nginx:1.27"), Pod: container.Pod{Name: "web-1", Namespace: "shop", Labels: map[string]string{"app": "web", "tier": "front"}}, Complete: true},
	{Image: container.ParseImage("quay.io/x/app"), Pod: container.Pod{Name: "db-0", Namespace: "staging", Labels: map[string]string{"app_name": "x", "empty": ""}}, Complete: true},
	{Image: container.ParseImage("nginx:1.26"), Complete: true},
	{Complete: true},
}

// selector is one selector, as a policy's text has it.
func (w world) selector(t policy.Type, name string) map[string]any {
	s := map[string]any{"name": name}
	sometimes := func(percent int, key string, value func() any) {
		if w.chance(percent) {
			s[key] = value()
		}
	}
	list := func(from []string) func() any {
		return func() any { return several(w, 3, func() string { return pick(w, from) }) }
	}
	sometimes(70, "operation", func() any {
		return several(w, 4, func() string { return t.OperationName(pick(w, t.Operations())) })
	})
	sometimes(6, "containerImageName", list(worldImages))
	if s["containerImageName"] == nil {
		sometimes(4, "containerImageFullName", list(worldFullNames))
	}
	sometimes(3, "containerImageTag", list(worldTags))
	sometimes(3, "kubernetesClusterId", list([]string{"c1", "c2"}))
	sometimes(3, "kubernetesClusterName", list([]string{"prod", "p*", "test"}))
	sometimes(5, "kubernetesNamespace", list(worldNamespaces))
	sometimes(4, "kubernetesPodName", list(worldPods))
	sometimes(5, "kubernetesPodLabel", list(worldLabels))
	if t == policy.File {
		sometimes(75, "targetFilePath", func() any { return w.patterns(255) })
		if w.exploding && strings.HasSuffix(name, "0") {
			s["targetFilePath"] = w.exploders()
		}
		sometimes(15, pick(w, []string{"ignoreVolumeMounts", "ignoreVolumeFiles"}), func() any { return true })
	} else {
		w.processConditions(sometimes, list)
	}
	if len(s) == 1 {
		s["operation"] = []string{t.OperationName(pick(w, t.Operations()))}
	}
	return s
}

func (w world) patterns(most int) []string {
	n := 6
	if w.chance(5) {
		n = 60
	}
	return several(w, n, func() string { return w.pattern(most) })
}

// exploders are more patterns that double an automaton's states than one automaton can hold.
func (w world) exploders() []string {
	var list []string
	for _, c := range "abcdefghijklmnop" {
		list = append(list, fmt.Sprintf("/**/*%c*%c", c, pick(w, []rune("xyz"))))
	}
	return list
}

func (w world) processConditions(sometimes func(int, string, func() any), list func([]string) func() any) {
	names := func() any {
		return several(w, 4, func() string { n := pick(w, worldNames); return n[:min(len(n), 15)] })
	}
	if !w.byName && w.chance(50) {
		sometimes(80, "processExecutable", func() any { return w.patterns(511) })
	} else {
		sometimes(60, "processName", names)
	}
	sometimes(15, "processUserId", func() any { return several(w, 3, func() uint32 { return pick(w, worldUsers) }) })
	sometimes(8, "processUserName", list(worldUserNames))
	sometimes(12, "sessionLeaderName", names)
	if !w.byName {
		sometimes(12, "sessionLeaderExecutable", func() any { return w.patterns(511) })
	}
	sometimes(20, "sessionLeaderInteractive", func() any { return w.chance(50) })
}

// mayBlock says whether the language lets a response block by this selector.
func mayBlock(t policy.Type, s map[string]any) bool {
	if t == policy.Process || s["targetFilePath"] != nil {
		return true
	}
	ops, ok := s["operation"].([]string)
	return ok && !slices.ContainsFunc(ops, func(op string) bool { return !strings.HasSuffix(op, "Executable") })
}

func (w world) section(t policy.Type) map[string]any {
	selectors, responses := 1+w.IntN(8), 1+w.IntN(6)
	if w.chance(4) {
		selectors, responses = 64, 64
	}
	var list, blockers []map[string]any
	for i := range selectors {
		s := w.selector(t, fmt.Sprintf("%s%d", t, i))
		list = append(list, s)
		if mayBlock(t, s) {
			blockers = append(blockers, s)
		}
	}
	name := func(from []map[string]any) func() string {
		return func() string { return pick(w, from)["name"].(string) }
	}
	var answers []map[string]any
	for range responses {
		r := map[string]any{"match": several(w, 4, name(list)), "actions": pick(w, [][]string{{"log"}, {"alert"}, {"log", "alert"}})}
		if w.chance(50) && blockers != nil {
			r = map[string]any{"match": several(w, 4, name(blockers)), "actions": pick(w, [][]string{{"alert", "block"}, {"log", "alert", "block"}})}
		}
		if w.chance(35) {
			r["exclude"] = several(w, 3, name(list))
		}
		answers = append(answers, r)
	}
	return map[string]any{"selectors": list, "responses": answers}
}

// policy is a random policy, valid by the language, and the text that says it.
func (w world) policy(t testing.TB) (*policy.Policy, string) {
	sections := map[string]any{}
	w.byName = w.chance(20)
	for _, typ := range policy.Types {
		sections[typ.String()] = w.section(typ)
	}
	text, err := json.Marshal(sections) // which is YAML
	require.NoError(t, err)
	p, _, err := policy.Parse("random.yml", text)
	require.NoError(t, err, "%s", text)
	return p, string(text)
}

// stage is a compiled policy with all that operations on it share.
type stage struct {
	policy     *policy.Policy
	rules      *ruleset.Ruleset
	failClosed bool
	scopes     [][len(policy.Types)]uint64 // by box
	userNames  map[uint32]uint64
}

// nodeUsers is the user database of the world.
var nodeUsers = []container.User{{Name: "root", ID: 0}, {Name: "www-data", ID: 33}, {Name: "nobody", ID: 65534}}

func newStage(p *policy.Policy, rs *ruleset.Ruleset, failClosed bool) *stage {
	st := &stage{policy: p, rules: rs, failClosed: failClosed, userNames: rs.NamedUsers(nodeUsers)}
	for _, box := range boxes {
		st.scopes = append(st.scopes, rs.Scope(box, worldCluster))
	}
	return st
}

// deed is an operation, and the box in which it happens.
type deed struct {
	ruleset.Subject
	box int // unknownBox for an unknown container
}

const unknownBox = -1

// deed is an operation that is near to what some selector asks for.
func (w world) deed(st *stage, t policy.Type) deed {
	selectors := st.policy.Section(t).Selectors
	s := &selectors[w.IntN(len(selectors))]
	out := deed{Subject: ruleset.Subject{Operation: pick(w, t.Operations()), FailClosed: st.failClosed}}
	if len(s.Operations) > 0 && w.chance(85) {
		out.Operation = pick(w, s.Operations)
	}
	w.contain(st, t, &out)
	if t == policy.File {
		out.Path = w.place(s.TargetFilePath)
		out.Reads = w.chance(15)
		out.OnVolume = w.chance(20)
		out.OnVolumeFile = out.OnVolume && w.chance(50)
		return out
	}
	out.Path = w.place(s.ProcessExecutable)
	if len(s.ProcessName) > 0 && w.chance(85) {
		out.Path.Name = clean(w.path(nil) + "/" + pick(w, s.ProcessName))
		if w.chance(10) {
			out.Path.Name += pick(w, []string{"x", "yz"})
		}
	}
	out.Leader = w.place(s.SessionLeaderExecutable)
	if len(s.SessionLeaderName) > 0 && w.chance(85) {
		out.Leader.Name = clean(w.path(nil) + "/" + pick(w, s.SessionLeaderName))
	}
	out.UserID = pick(w, worldUsers)
	if len(s.ProcessUserID) > 0 && w.chance(80) {
		out.UserID = pick(w, s.ProcessUserID)
	}
	if !out.UserUnnamed {
		out.UserNames = st.userNames[out.UserID]
	}
	out.Interactive = w.chance(50)
	return out
}

// contain puts the operation into a container, one of five unknown.
func (w world) contain(st *stage, t policy.Type, d *deed) {
	if w.chance(20) {
		d.box, d.UserUnnamed = unknownBox, true
		d.ContainerMust, d.ContainerMay = st.rules.Tables[t].ContainerFree, ^uint64(0)
		return
	}
	d.box = w.IntN(len(boxes))
	d.ContainerMust, d.ContainerMay = st.scopes[d.box][t], st.scopes[d.box][t]
}

// place is a path near one of the patterns; of five in a hundred nothing is known.
func (w world) place(patterns []string) ruleset.Place {
	p := ruleset.Place{Name: w.path(patterns)}
	switch n := w.IntN(100); {
	case n < 3:
		p.Unresolved = true
	case n < 5:
		p.Internal = true
	}
	return p
}

// path is a path that one of the patterns matches, or nearly so.
func (w world) path(patterns []string) string {
	pattern := "/" + w.name() + "/" + w.name()
	if len(patterns) > 0 && w.chance(90) {
		pattern = pick(w, patterns)
	}
	var b strings.Builder
	for i, c := range strings.Split(pattern, "/")[1:] {
		if c != "**" {
			b.WriteString("/" + w.fill(c))
			continue
		}
		for range w.IntN(3) + i%2 {
			b.WriteString("/" + w.name())
		}
	}
	w.disturb(&b)
	return clean(b.String())
}

// fill puts some text in the place of each star.
func (w world) fill(component string) string {
	for strings.Contains(component, "*") {
		component = strings.Replace(component, "*", pick(w, []string{"", "a", "b", "so", "x", w.name()}), 1)
	}
	return component
}

// disturb changes a path one time of four, so that it may not match any more.
func (w world) disturb(b *strings.Builder) {
	switch w.IntN(16) {
	case 0:
		b.WriteString("/" + w.name())
	case 1:
		b.WriteString(w.name())
	case 2:
		text := b.String()
		b.Reset()
		b.WriteString(text[:w.IntN(len(text)+1)])
	case 3:
		b.WriteString(pick(w, []string{"/\xff\xfe", "/\x01", strings.Repeat("/deep", 70)}))
	}
}

// clean makes any text a path as the kernel has them.
func clean(text string) string {
	var b strings.Builder
	for _, c := range strings.Split(text, "/") {
		if c != "" && c != "." && c != ".." {
			b.WriteString("/" + c[:min(len(c), 255)])
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
