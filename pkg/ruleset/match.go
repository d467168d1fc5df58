// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// maxName is how much of a name the kernel compares, the length of a task's comm without its NUL.
const maxName = 15

// MatchPath runs a type's path automata over an absolute path without "." and ".." components and without a slash at
// its end. accept are the selectors whose path condition the path satisfies, below those that some path underneath it
// could satisfy. Selectors without a path condition (Table.NoPath) are in neither.
func (r *Ruleset) MatchPath(t policy.Type, path string) (accept, below uint64) {
	return r.matchAll(&r.Tables[t].PathStarts, path)
}

// MatchName runs a type's name automaton over the last component of an executable's path. Selectors without a
// condition on names (Table.NoName) are not in the result.
func (r *Ruleset) MatchName(t policy.Type, name string) (accept uint64) {
	accept, _ = r.match(r.Tables[t].NameStart, name[:min(len(name), maxName)])
	return accept
}

// MatchLeaderPath is MatchPath for the executable of a session leader and sessionLeaderExecutable.
func (r *Ruleset) MatchLeaderPath(t policy.Type, path string) (accept uint64) {
	accept, _ = r.matchAll(&r.Tables[t].LeaderStarts, path)
	return accept
}

// MatchLeaderName is MatchName for the executable of a session leader and sessionLeaderName.
func (r *Ruleset) MatchLeaderName(t policy.Type, name string) (accept uint64) {
	accept, _ = r.match(r.Tables[t].LeaderNameStart, name[:min(len(name), maxName)])
	return accept
}

// matchAll unites what several automata say about one path.
func (r *Ruleset) matchAll(starts *Starts, path string) (accept, below uint64) {
	for _, start := range starts {
		if start == 0 {
			break
		}
		a, b := r.match(start, path)
		accept |= a
		below |= b
	}
	return accept, below
}

// match returns what the state that a text leads to says.
func (r *Ruleset) match(state uint32, text string) (accept, below uint64) {
	if state == 0 {
		return 0, 0
	}
	state = r.run(state, text)
	return r.Accept[r.Cells[state+acceptAt]>>baseBits], r.Accept[r.Cells[state+belowAt]>>baseBits]
}

// run goes the kernel's way through the cells, shortcuts included.
func (r *Ruleset) run(state uint32, text string) uint32 {
	for i := 0; i < len(text); i++ {
		cell := r.step(state, text[i])
		state = cell >> baseBits & baseMask
		if cell&sink != 0 {
			break
		}
		if cell&skip != 0 {
			slash := strings.IndexByte(text[i+1:], '/')
			if slash < 0 {
				break
			}
			i += slash
		}
	}
	return state
}

// step is the transition out of a state on one byte.
func (r *Ruleset) step(state uint32, b byte) uint32 {
	class := uint32(r.Classes[b])
	if class != 0 {
		if cell := r.Cells[state+edgesAt+class]; cell&tagMask == class {
			return cell
		}
	}
	return r.Cells[state]
}
