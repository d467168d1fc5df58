// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// synonyms are words of other tools and of every day, with what they are here. No number of typing mistakes leads there.
var synonyms = []struct {
	words *regexp.Regexp
	mean  []string
}{
	{regexp.MustCompile(`(?i)^(?:read|view)(?:files?)?$`), []string{"openFile"}},
	{regexp.MustCompile(`(?i)^(?:(?:write|edit|append|change|update|truncate)(?:files?)?|ch(?:mod|own|grp).*)$`), []string{"modifyFile"}},
	{regexp.MustCompile(`(?i)^(?:write|edit|change|update)(?:executables?|programs?)$`), []string{"modifyExecutable"}},
	{regexp.MustCompile(`(?i)^(?:remove|unlink)(?:files?)?$`), []string{"deleteFile"}},
	{regexp.MustCompile(`(?i)^(?:rename|move)(?:files?)?$`), []string{"deleteFile", "createFile"}},
	{regexp.MustCompile(`(?i)^(?:run|execute|execve|start|spawn|launch)(?:process|program|executable|file)?$`), []string{"exec"}},
	{regexp.MustCompile(`(?i)^(?:deny|kill|prevent|refuse|reject|enforce)$`), []string{"block"}},
}

// meant returns what a synonym is among the valid words, nothing if the word is none.
func meant(word string, valid []string) []string {
	for _, s := range synonyms {
		unknown := func(w string) bool { return !slices.Contains(valid, w) }
		if s.words.MatchString(word) && !slices.ContainsFunc(s.mean, unknown) {
			return s.mean
		}
	}
	return nil
}

// hint names the valid word that was probably meant, or lists the valid ones.
func hint(word string, valid []string) string {
	if words := meant(word, valid); words != nil {
		return didYouMean(" and ", words...)
	}
	if near := nearest(word, valid); near != "" {
		return didYouMean("", near)
	}
	if found := holding(word, valid); found != nil {
		return didYouMean(" or ", found...)
	}
	return oneOf(valid)
}

func didYouMean(conjunction string, words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strconv.Quote(word)
	}
	return "did you mean " + strings.Join(quoted, conjunction) + "?"
}

// oneOf lists the words that may stand in a place.
func oneOf(valid []string) string {
	switch len(valid) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("only %q is allowed here", valid[0])
	}
	return "allowed here: " + strings.Join(valid, ", ")
}

// holding returns the words of valid of which word is a part, as image is of containerImageName, if they are few.
func holding(word string, valid []string) []string {
	const least, most = 4, 5
	var found []string
	for _, v := range valid {
		if len(word) >= least && strings.Contains(strings.ToLower(v), strings.ToLower(word)) {
			found = append(found, v)
		}
	}
	if len(found) > most {
		return nil
	}
	return found
}

// nearest returns the word of valid that word was probably meant to be: the one that is fewest typing mistakes away,
// if they are few for its length. It is empty if none is near.
func nearest(word string, valid []string) string {
	const longest = 128 // no valid word is longer
	if len(word) > longest {
		return ""
	}
	best, fewest := "", 0
	for _, v := range valid {
		few := (max(len(word), len(v)) + 1) / 3
		if len(word) > len(v)+few || len(v) > len(word)+few {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(v)); d <= few && (best == "" || d < fewest) {
			best, fewest = v, d
		}
	}
	return best
}

// distance counts the bytes to insert, remove, replace or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
