// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package probe

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/policy"
	"github.com/elastic/cloud-defend/pkg/ruleset"
)

// pairsPerPolicy balances the variety of policies against what compiling and publishing them takes.
func pairsPerPolicy(pairs int) int { return min(max(400, pairs/5000), 4000) }

// evaluator judges operations of one type under one policy.
type evaluator func(t testing.TB, st *stage, typ policy.Type, deeds []deed) []verdict

// verdict is a decision and, of an unknown container, what is needed to settle it.
type verdict struct {
	ruleset.Decision
	aspects [2]ruleset.Aspect
}

func goVerdict(rs *ruleset.Ruleset, typ policy.Type, s ruleset.Subject) verdict {
	v := verdict{Decision: rs.Judge(typ, s)}
	if s.UserUnnamed { // the container is unknown
		copy(v.aspects[:], rs.Aspects(typ, s))
	}
	return v
}

func inGo(_ testing.TB, st *stage, typ policy.Type, deeds []deed) []verdict {
	out := make([]verdict, len(deeds))
	for i := range deeds {
		out[i] = goVerdict(st.rules, typ, deeds[i].Subject)
	}
	return out
}

// tally is what a comparison has seen.
type tally struct {
	policies, refused, pairs, fired int
	branches                        map[string]int
	took, kernel                    time.Duration
}

func (y *tally) log(t testing.TB, by string) {
	t.Logf("%d pairs of %d policies (and %d too large to compile), %.1f %% of them fire a response; %s in all, %s of it in %s",
		y.pairs, y.policies, y.refused, 100*float64(y.fired)/float64(y.pairs), y.took.Round(time.Millisecond), y.kernel.Round(time.Millisecond), by)
	for _, name := range slices.Sorted(maps.Keys(y.branches)) {
		t.Logf("%9d  %s", y.branches[name], name)
	}
}

// each plays random policies and operations, so many pairs in all, and hands them on batch by batch with what the
// reference says.
func each(t testing.TB, seed uint64, pairs int, reference evaluator, do func(st *stage, typ policy.Type, deeds []deed, want []verdict)) tally {
	w := newWorld(seed)
	y := tally{branches: map[string]int{}}
	began := time.Now()
	for y.pairs < pairs {
		w.exploding = y.policies%64 == 5
		p, text := w.policy(t)
		rs, err := ruleset.Compile(p)
		if limit := (*ruleset.LimitError)(nil); errors.As(err, &limit) {
			y.refused++
			continue
		}
		require.NoError(t, err, "%s", text)
		st := newStage(p, rs, w.chance(30))
		y.policies++
		for _, typ := range policy.Types {
			deeds := make([]deed, pairsPerPolicy(pairs)/len(policy.Types))
			for i := range deeds {
				deeds[i] = w.deed(st, typ)
			}
			asked := time.Now()
			want := reference(t, st, typ, deeds)
			y.kernel += time.Since(asked)
			require.Len(t, want, len(deeds))
			y.pairs += len(deeds)
			for i := range want {
				if want[i].Log|want[i].Alert|want[i].Block != 0 {
					y.fired++
				}
			}
			do(st, typ, deeds, want)
		}
	}
	y.took = time.Since(began)
	return y
}

// agree holds the Go evaluator against another one on random pairs, and requires that every branch of a verdict was
// taken and a fair share of the pairs fired something.
func agree(t testing.TB, pairs int, reference evaluator, by string) {
	branches, every := map[string]int{}, max(4, pairs/50_000)
	y := each(t, 1, pairs, reference, func(st *stage, typ policy.Type, deeds []deed, want []verdict) {
		probes := newBranches(st)
		for i := range deeds {
			s := deeds[i].Subject
			got := goVerdict(st.rules, typ, s)
			if got != want[i] {
				explainDifference(t, st, typ, s, got, want[i])
			}
			probes.count(branches, typ, s, got.Decision, i%every == 0)
		}
	})
	y.branches = branches
	y.log(t, by)
	require.GreaterOrEqual(t, 5*y.fired, y.pairs, "too few pairs fire")
	require.Less(t, 10*y.refused, y.policies, "too many policies are too large")
	for _, name := range branchNames {
		require.NotZero(t, branches[name], "no pair of %d: %s", y.pairs, name)
	}
}

func explainDifference(t testing.TB, st *stage, typ policy.Type, s ruleset.Subject, got, want verdict) {
	t.Helper()
	section := st.policy.Section(typ)
	require.Failf(t, "the evaluators differ", "%s %s %+v\nin Go  %+v\nother  %+v\n%+v", typ, typ.OperationName(s.Operation), s, got, want, section)
}

// TestGoEvaluatorReachesEveryBranch holds the generator to its word where there is no kernel to compare with.
func TestGoEvaluatorReachesEveryBranch(t *testing.T) { agree(t, 24_000, inGo, "Go") }

// branches are variants of a policy that lack something, to see when it decides.
type branches struct {
	st                    *stage
	noExclude, oneStart   *ruleset.Ruleset
	noNames, noLeaderName *ruleset.Ruleset
}

func newBranches(st *stage) *branches {
	b := &branches{st: st, noExclude: cloned(st.rules), oneStart: cloned(st.rules), noNames: cloned(st.rules), noLeaderName: cloned(st.rules)}
	for _, t := range policy.Types {
		clear(b.noExclude.Tables[t].Exclude)
		clear(b.oneStart.Tables[t].PathStarts[1:])
		clear(b.oneStart.Tables[t].LeaderStarts[1:])
		b.noNames.Tables[t].NoName = ^uint64(0)
		b.noLeaderName.Tables[t].NoLeaderName = ^uint64(0)
	}
	return b
}

func cloned(rs *ruleset.Ruleset) *ruleset.Ruleset {
	c := *rs
	c.Cells, c.Accept = slices.Clone(rs.Cells), slices.Clone(rs.Accept)
	for i := range c.Tables {
		table := &c.Tables[i]
		table.Match, table.Exclude, table.Users = slices.Clone(table.Match), slices.Clone(table.Exclude), slices.Clone(table.Users)
	}
	return &c
}

// branchNames are the branches that every run has to take.
var branchNames = []string{
	"log", "alert", "block", "nothing", "block without log", "two responses", "exclude holds back",
	"unknown container: block is certain", "unknown container: block waits", "unknown container: fails closed",
	"unresolved path: blocks", "unresolved path: exclude does not hold", "internal path: process", "internal path: no file",
	"unresolved leader", "ignoreVolumeMounts decides", "ignoreVolumeFiles decides", "name decides", "interactive decides",
	"user id decides", "user name decides", "user name is not known",
	"leader's path decides", "leader's name decides", "another automaton decides",
	"root directory", "path of more than 64 names", "name of 255 bytes", "path that is not UTF-8", "openFile", "openFile besides", "fork",
}

// count notes which branches a decision took. Those that need further decisions are looked at when thorough.
func (b *branches) count(to map[string]int, typ policy.Type, s ruleset.Subject, d ruleset.Decision, thorough bool) {
	note := func(name string, is bool) {
		if is {
			to[name]++
		}
	}
	fired := d.Log | d.Alert | d.Block
	note("log", d.Log != 0)
	note("alert", d.Alert != 0)
	note("block", d.Block != 0)
	note("block without log", d.Block != 0 && d.Log == 0)
	note("two responses", fired&(fired-1) != 0)
	note("nothing", fired == 0)
	note("root directory", fired != 0 && s.Path.Name == "/")
	note("path of more than 64 names", fired != 0 && countByte(s.Path.Name, '/') > 64)
	note("name of 255 bytes", fired != 0 && len(s.Path.Name) > 255)
	note("path that is not UTF-8", fired != 0 && countByte(s.Path.Name, 0xff) > 0)
	note("openFile besides", fired != 0 && s.Reads && s.Operation != policy.OpenFile)
	note("openFile", fired != 0 && typ == policy.File && s.Operation == policy.OpenFile)
	note("fork", fired != 0 && typ == policy.Process && s.Operation == policy.Fork)
	if thorough {
		b.decisive(note, typ, s, d)
	}
}

func countByte(text string, c byte) (n int) {
	for i := range len(text) {
		if text[i] == c {
			n++
		}
	}
	return n
}

// decisive notes what made the decision: without it, it would be another one.
func (b *branches) decisive(note func(string, bool), typ policy.Type, s ruleset.Subject, d ruleset.Decision) {
	rules := b.st.rules
	other := func(change func(*ruleset.Subject)) ruleset.Decision {
		c := s
		change(&c)
		return rules.Judge(typ, c)
	}
	note("exclude holds back", b.noExclude.Judge(typ, s) != d)
	note("another automaton decides", b.oneStart.Judge(typ, s) != d)
	note("ignoreVolumeMounts decides", s.OnVolume && other(func(c *ruleset.Subject) { c.OnVolume = false }) != d)
	note("ignoreVolumeFiles decides", s.OnVolumeFile && other(func(c *ruleset.Subject) { c.OnVolumeFile = false }) != d)
	unknown := s.ContainerMust != s.ContainerMay
	closed := other(func(c *ruleset.Subject) { c.FailClosed = !c.FailClosed })
	note("unknown container: block is certain", unknown && !s.FailClosed && d.Block != 0)
	note("unknown container: block waits", unknown && !s.FailClosed && closed.Block&^d.Block != 0)
	note("unknown container: fails closed", unknown && s.FailClosed && d.Block&^closed.Block != 0)
	internal := other(func(c *ruleset.Subject) { c.Path = ruleset.Place{Name: c.Path.Name, Internal: true} })
	note("unresolved path: blocks", s.Path.Unresolved && d.Block&^internal.Block != 0)
	known := s
	known.Path.Unresolved = false
	held := b.noExclude.Judge(typ, known).Block &^ rules.Judge(typ, known).Block
	note("unresolved path: exclude does not hold", s.Path.Unresolved && held&d.Block != 0)
	ordinary := other(func(c *ruleset.Subject) { c.Path.Internal = false })
	note("internal path: no file", typ == policy.File && s.Path.Internal && ordinary.Selectors != 0)
	if typ == policy.File {
		return
	}
	note("internal path: process", s.Path.Internal && d.Selectors != 0 && ordinary != d)
	note("unresolved leader", s.Leader.Unresolved && other(func(c *ruleset.Subject) { c.Leader.Unresolved = false }) != d)
	note("name decides", b.noNames.Judge(typ, s) != d)
	note("leader's name decides", b.noLeaderName.Judge(typ, s) != d)
	note("leader's path decides", other(func(c *ruleset.Subject) { c.Leader = ruleset.Place{Name: c.Leader.Name, Internal: true} }) != d)
	note("interactive decides", other(func(c *ruleset.Subject) { c.Interactive = !c.Interactive }) != d)
	note("user id decides", other(func(c *ruleset.Subject) { c.UserID = 4242 }) != d)
	note("user name decides", other(func(c *ruleset.Subject) { c.UserNames = 0 }) != d)
	note("user name is not known", other(func(c *ruleset.Subject) { c.UserUnnamed = false }) != d)
}
