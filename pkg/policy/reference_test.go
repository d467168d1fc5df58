// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"
)

// TestReference: docs/policy.md says what the table says. Rewrite it with -update; its prose is in testdata.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("testdata/reference.md.tmpl")
	require.NoError(t, err)
	page, err := template.New("reference").Funcs(template.FuncMap{
		"conditions": conditionTable, "operations": operationTable, "actions": actionTable, "paths": pathTable, "limits": limitTable,
		"messages": messageTable, "extensions": extensionTable, "older": olderTable,
		"form": func(key string) string { c, _ := conditionOf(key); return c.form },
		"max":  func() int { return MaxItems },
	}).Parse(string(text))
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, page.Execute(&b, nil))
	requireGolden(t, filepath.Join("..", "..", "docs", "policy.md"), b.String())
}

// table is a table of Markdown. A cell's | is escaped.
func table(head string, rows [][]string) string {
	columns := strings.Split(head, "|")
	lines := []string{"| " + strings.Join(columns, " | ") + " |", "|" + strings.Repeat("---|", len(columns))}
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(row[i], "|", `\|`)
		}
		lines = append(lines, "| "+strings.Join(row, " | ")+" |")
	}
	return strings.Join(lines, "\n")
}

func code(s string) string { return "`" + s + "`" }

// asText keeps Markdown from reading wildcards as emphasis.
var asText = strings.NewReplacer("*", `\*`, "_", `\_`)

func conditionTable(of string) string {
	var rows [][]string
	for _, c := range conditions {
		both := len(c.types) == len(Types)
		if both != (of == "both") || !both && c.types[0].String() != of {
			continue
		}
		kind := "list of texts"
		switch {
		case c.key == operationKey:
			kind = "list of names"
		case c.flag != nil:
			kind = "true or false"
		case c.ids != nil:
			kind = "list of numbers"
		case c.wildcard != noWildcard:
			kind += " ✱"
		}
		says := asText.Replace(c.says)
		if c.rival != "" {
			says += " Not together with " + code(c.rival) + "."
		}
		if c.ours {
			says = "*Ours.* " + says
		}
		example := c.example
		if c.flag == nil && c.key != operationKey {
			example = "[" + example + "]"
		}
		rows = append(rows, []string{code(c.key), kind, says, code(example)})
	}
	return table("condition|values|is about|example", rows)
}

func operationTable(of string) string {
	t := Types[slices.IndexFunc(Types[:], func(t Type) bool { return t.String() == of })]
	var rows [][]string
	for op, name := range operationNames[t] {
		says := operationSays[t][op]
		if !slices.Contains(t.ImpliedOperations(), Operation(op)) {
			says = "*Ours.* " + says
		}
		rows = append(rows, []string{code(name), says})
	}
	return table(of+" operation|happens when", rows)
}

func actionTable() string {
	var rows [][]string
	for i, name := range actionNames {
		rows = append(rows, []string{code(name), actionSays[i]})
	}
	return table("action|does", rows)
}

// pathForms are the forms of a path, with what they match and what not.
var pathForms = []struct {
	form     string
	says     string
	yes, not []string
}{
	{"/etc/passwd", "this file", []string{"/etc/passwd"}, []string{"/etc/passwd/x", "/host/etc/passwd"}},
	{"/etc/*", "what is directly in it", []string{"/etc/passwd", "/etc/ssh"}, []string{"/etc", "/etc/ssh/sshd_config"}},
	{"/etc/**", "everything below it", []string{"/etc/passwd", "/etc/ssh/sshd_config"}, []string{"/etc"}},
	{"/**", "every path", []string{"/a", "/a/b"}, nil},
	{"/usr/*/bin/**", "ours: any one directory", []string{"/usr/local/bin/x"}, []string{"/usr/bin/x", "/usr/a/b/bin/x"}},
	{"/srv/**/*.conf", "ours: any number of directories, and none", []string{"/srv/a.conf", "/srv/x/y/a.conf"}, []string{"/srv/a.conf/b"}},
	{"/opt/lib*/lib*.so", "ours: * beside other text is any text, and none", []string{"/opt/lib/lib.so", "/opt/lib64/libc.so"}, []string{"/opt/lib/x/libc.so"}},
}

func pathTable() string {
	codes := func(list []string) string {
		var out []string
		for _, s := range list {
			out = append(out, code(s))
		}
		return strings.Join(out, ", ")
	}
	var rows [][]string
	for _, f := range pathForms {
		rows = append(rows, []string{code(f.form), asText.Replace(f.says), codes(f.yes), codes(f.not)})
	}
	return table("path|means|matches|does not match", rows)
}

// asRegexp says by other means what a path of the language matches.
func asRegexp(path string) *regexp.Regexp {
	var b strings.Builder
	components := strings.Split(path, "/")[1:]
	for i, c := range components {
		switch {
		case c == "**" && i == len(components)-1:
			b.WriteString(`(?:/[^/]+)+`)
		case c == "**":
			b.WriteString(`(?:/[^/]+)*`)
		case c == "*":
			b.WriteString(`/[^/]+`)
		default:
			b.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(c), `\*`, `[^/]*`))
		}
	}
	return regexp.MustCompile("^" + b.String() + "$")
}

func TestReferenceOfPaths(t *testing.T) {
	for _, f := range pathForms {
		c, _ := conditionOf("targetFilePath")
		problem, _ := c.fault(f.form)
		require.Empty(t, problem, f.form)
		require.Equal(t, strings.HasPrefix(f.says, "ours"), !officialPath.pattern.MatchString(f.form), f.form)
		for _, path := range f.yes {
			require.Regexp(t, asRegexp(f.form), path, f.form)
		}
		for _, path := range f.not {
			require.NotRegexp(t, asRegexp(f.form), path, f.form)
		}
	}
}

func limitTable() string {
	rows := [][]string{
		{"selectors, and responses, of a section", fmt.Sprintf("%d each", MaxItems)},
		{"name of a selector", fmt.Sprintf("%d bytes", maxName)},
	}
	limits := map[int][]string{}
	for _, c := range conditions {
		if c.list != nil {
			limits[c.maxBytes] = append(limits[c.maxBytes], code(c.key))
		}
	}
	for _, most := range slices.Sorted(maps.Keys(limits)) {
		which := "any other value"
		if most != maxValue {
			which = "value of " + strings.Join(limits[most], ", ")
		}
		rows = append(rows, []string{which, fmt.Sprintf("%d bytes of UTF-8", most)})
	}
	rows = append(rows,
		[]string{code("processUserId"), fmt.Sprintf("0 to %d", uint32(maxUserID))},
		[]string{"values of a list", "at least 1"},
		[]string{"policy", fmt.Sprintf("%d bytes; %d keys and values, aliases expanded", maxText, maxNodes)})
	return table("of|at most", rows) + "\n\nThe compiled tables have limits of their own. A policy that exceeds them is refused by `validate`, naming the\nvalue that does not fit."
}

// messages are those that a policy can get, in the words of the goldens under testdata.
var messages = [][3]string{
	{"unknown key", "A key that is none, often misspelt.", "Take the key that the message proposes."},
	{"this key is already on line", "YAML allows a key once in a map.", "Keep one of the two."},
	{"is missing", "A section lacks a list, or a response what it needs.", "Add it."},
	{"the selector has no name", "Responses cannot refer to it.", "Add `name`."},
	{"the selector has no condition", "It would match everything.", "Add a condition, `operation` at least."},
	{"is not a valid name", "A name has other characters than it may.", "Letters, digits, `-` and `_`."},
	{"is taken by", "Two selectors of a section have one name.", "Rename one."},
	{"has the same name", "Two selectors of different sections have one name; documents name selectors without their section.", "Rename one."},
	{"there is no file selector", "`match` or `exclude` names what is not there.", "Take the name that the message proposes."},
	{"response refers to", "The selector belongs to the other section.", "Move the response, or write a selector in this section."},
	{"cannot have this condition", "The condition belongs to the other section.", "Move the selector."},
	{"this cannot be combined with", "The two conditions contradict or repeat each other.", "Keep one, or make two selectors."},
	{"is not valid here", "The value does not have the form that the message describes.", "Write it so."},
	{"bytes long", "The value is longer than [allowed](#limits).", "Shorten it, for a path by a wildcard."},
	{"this must be", "Text, a list, a map, a number or a boolean stands where another kind belongs.", "Often quotes or brackets: `[a]` is a list."},
	{"the list is empty", "An empty list would never match.", "Write a value or remove the key."},
	{"the value is empty", "An empty text would never match.", "Write a value or remove it."},
	{"the name is empty", "Responses cannot refer to it.", "Write a name."},
	{"is not an operation of", "Misspelt, or of the other section.", "See [Operations](#operations)."},
	{"is there more than once", "An operation named twice in one selector.", "Remove it."},
	{"is not an action", "Misspelt.", "`log`, `alert`, `block`."},
	{"block stands without alert", "What is refused must be reported.", "Add `alert`."},
	{"block without a place", "See [above](#where-block-needs-a-place).", "Add `targetFilePath`."},
	{"block of openFile without a place", "See [above](#where-block-needs-a-place).", "Add `targetFilePath`."},
	{"blocks every path", "`block` on `/**` or the like: containers may not start or stop.", "Narrow the path, if you can."},
	{"blocks exec of every program", "`block` with no condition on the program: containers cannot start.", "Name executables, or exclude a selector that does."},
	{"match every file that a container writes", "A great many documents.", "Add `targetFilePath`."},
	{"matches every file that a container reads", "A great many documents.", "Add `targetFilePath`."},
	{"never matches", "No path looks like this, no name, or no image as container runtimes call it.", "Write what the message says; a path without `.` and `..`."},
	{"is one name, with a comma in it", "Several names in one text.", "Write them one by one: `[sh, bash]`."},
	{"with blanks at its ends", "A blank in the quotes is part of the name.", "Remove it."},
	{"stands for itself", "`?`, `[` and `{` are no wildcards, and a backslash takes nothing from `*`.", "Use `*`."},
	{"is no wildcard in", "This condition knows no wildcards.", "Write the values one by one."},
	{"under a longer name", "A path such as `/usr/sbin*`.", "See [Older generations](#older-generations)."},
	{"and nothing that is in it", "The path of a directory such as `/usr/bin` or `/etc/cron.d`: a path is that of a file.", "Add `/*` or `/**`."},
	{"leads through", "A directory such as `/bin`, a [link](#paths) in most images.", "Write the path that it leads to as well."},
	{"is not the id of a user", "No number, or too large.", "Write it in decimal."},
	{"selectors and responses together", "Kibana's form will not save this policy.", "Fewer, if it is to be edited there."},
	{"are allowed of each type", "More selectors or responses than [allowed](#limits).", "Unite some: one list may have many values."},
	{"this is an older name of", "See [Older generations](#older-generations).", "Write today's name."},
	{"this key of an older generation is gone", "See [Older generations](#older-generations).", "Write what the message says."},
	{"this is the form of the first generation", "See [Older generations](#older-generations).", "Indent both lists below `file`."},
	{"which responses without an order cannot say", "See [Older generations](#older-generations).", "Write what the message says."},
	{"is not known here", "See [Older generations](#older-generations).", "Remove the key."},
	{"without operation this meant", "See [Older generations](#older-generations).", "Write what the message says."},
	{"this fires only where earlier responses do not", "See [Older generations](#older-generations).", "Write what the message says."},
	{"this never fires, because", "See [Older generations](#older-generations).", "Remove the response."},
	{"this never fires:", "All that `match` names is in `exclude`, too.", "Remove the response, or what excludes it."},
	{"it is in exclude, too", "Where this selector matches, the response does not fire.", "Remove the name from one of the two."},
	{"has no equivalent", "See [Older generations](#older-generations).", "Use a process selector."},
	{"the official grammar", "Only with `--official`: an extension.", "See [below](#what-kibanas-form-does-not-know)."},
	{"Kibana's form", "Only with `--official`: the form would refuse or change this.", "Write what the message says."},
	{"this is not YAML", "The text cannot be read.", "See below."},
	{"a second document begins here", "A `---` in the middle.", "One policy per file."},
	{"the policy is empty", "Nothing but comments, if anything.", "See [A first policy](#a-first-policy)."},
	{"this is an object of Kubernetes", "A ConfigMap or the like, with a policy in it.", "Give the text in it, as kubectl prints it with -o jsonpath."},
	{"this is the file of an agent", "An `elastic-agent.yml`, with a policy in it.", "Give what stands below `security-policy`, in a file of its own."},
	{"this is a file of cases", "The two files of `policy test` in the wrong order.", "The policy is the first."},
	{"neither \"file\" nor \"process\" is present", "A policy has at least one section.", "See [A first policy](#a-first-policy)."},
	{"this belongs to a type of operations", "`selectors` or `responses` stand at the left margin.", "Indent them below `file` or `process`."},
	{"a key must be text", "A list or a map stands where a key belongs.", "Look at the brackets and colons of this line."},
	{"contains itself", "An anchor (`&a`) with an alias of itself (`*a`) in it.", "Write the value out."},
	{"keys and values", "The policy is too large, perhaps by aliases of aliases.", "Fewer values, or fewer aliases."},
}

func messageTable() string {
	var rows [][]string
	for _, m := range messages {
		rows = append(rows, []string{"… " + asText.Replace(m[0]) + " …", m[1], m[2]})
	}
	return table("the message has|because|what to do", rows)
}

// TestReferenceOfMessages: the page explains every message of the goldens, and no message that there is not.
func TestReferenceOfMessages(t *testing.T) {
	goldens, err := filepath.Glob("testdata/[aor]*/*.want")
	require.NoError(t, err)
	require.NotEmpty(t, goldens)
	used := map[string]bool{}
	for _, path := range goldens {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
			explained := false
			for _, m := range messages {
				if strings.Contains(line, m[0]) {
					explained, used[m[0]] = true, true
				}
			}
			require.True(t, explained, line)
		}
	}
	for _, m := range messages {
		require.True(t, used[m[0]], "no golden says %q", m[0])
	}
}

func extensionTable() string {
	rows := [][]string{{code("operation"), code("openFile") + ", reading a file"}}
	for _, c := range conditions {
		switch {
		case c.ours:
			rows = append(rows, []string{code(c.key), "the condition"})
		case c.official.pattern != nil:
			rows = append(rows, []string{code(c.key), "the official grammar " + asText.Replace(c.official.says)})
		}
	}
	return table("where|what is ours", rows)
}

func olderTable() string {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(renamed)) {
		rows = append(rows, []string{code(name), code(renamed[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(inPodKeys)) {
		rows = append(rows, []string{code(name + ": [" + inPodKeys[name] + "]"), code(podNameKey + `: ["*"]`)})
	}
	return table("then|today", rows)
}
