// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package readme

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExtract(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		want  []Command
		fault string
	}{
		"blocks in order": {
			"# a\n\n```sh\ngo tool mage build\n\nsudo build/cloud-defend doctor\n```\ntext\n~~~~sh\n  go x  \n~~~~~\n",
			[]Command{{4, "go tool mage build"}, {6, "sudo build/cloud-defend doctor"}, {10, "go x"}}, "",
		},
		"other blocks": {
			"```sh\na\n```\n```yaml\n# go on\nname: go\n    - match: [x]\n```\n```\npolicy ──▶ go\n```\nText,\ngo on.\n    go.\n",
			[]Command{{2, "a"}}, "",
		},
		"a longer fence holds a shorter one": {"````sh\na\n```\n````\n", []Command{{2, "a"}, {3, "```"}}, ""},
		"none":                               {"# a\n\n```yaml\na: b\n```\n", nil, "README.md: no block marked sh has a command"},
		"an empty one":                       {"```sh\n\n```\n", nil, "no block marked sh has a command"},
		"no end":                             {"```sh\na\n", nil, "a block that begins with ``` has no end"},
		"no end before another":              {"```yaml\na\n```sh\ngo test\n", nil, "README.md:4: go test: this line is run by nobody"},
		"bash":                               {"```sh\na\n```\n```bash\ngo test\n```\n", nil, "README.md:5: go test: this line is run by nobody"},
		"no language":                        {"```sh\na\n```\n```\nbuild/cloud-defend run\n```\n", nil, "README.md:5: build/cloud-defend run"},
		"a prompt":                           {"```sh\na\n```\n```console\n$ ls\n```\n", nil, "README.md:5: $ ls"},
		"more than the language":             {"```sh\na\n```\n```sh title=x\ngit clone\n```\n", nil, "README.md:5: git clone"},
		"indented":                           {"```sh\na\n```\n\n    sudo ls\n", nil, "README.md:5: sudo ls"},
		"indented by a tab":                  {"```sh\na\n```\n\n\tgo run .\n", nil, "README.md:5: go run ."},
		"a block in a list":                  {"```sh\na\n```\n1. x\n\n    ```sh\n    go build\n    ```\n", nil, "README.md:7: go build"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Extract(c.text)
			if c.fault != "" {
				require.ErrorContains(t, err, c.fault)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestWayOf(t *testing.T) {
	for line, want := range map[string]way{
		"go tool mage test":                              {gate: true},
		"go tool mage demo":                              {},
		"go tool mage testVM 6.1":                        {},
		"build/cloud-defend policy explain a.yml":        {},
		"sudo build/cloud-defend doctor":                 verbs["doctor"],
		"sudo build/cloud-defend run --policy /a b.yml":  verbs["run"],
		"sudo build/cloud-defend doctor --format=json x": verbs["doctor"],
	} {
		got, err := wayOf(Command{1, line})
		require.NoError(t, err, line)
		require.Equal(t, want, got, line)
	}
	for _, line := range []string{
		"go tool mage", "go tool mage test -v", "go test ./pkg", "build/cloud-defend doctor", "sudo build/cloud-defend",
		"sudo build/cloud-defend version", "sudo apt install x", "# go tool mage demo", "$ go tool mage demo", "ls",
	} {
		_, err := wayOf(Command{7, line})
		require.EqualError(t, err, "README.md:7: "+line+": testing/readme does not know how to try this line")
	}
	for _, line := range []string{
		`go tool mage \`, "go tool mage demo && ls", "go tool mage demo; ls", "sudo build/cloud-defend run &",
		"sudo build/cloud-defend run | jq", "go tool mage ...",
	} {
		_, err := wayOf(Command{7, line})
		require.ErrorContains(t, err, "not one whole command", line)
	}
}

func TestCheck(t *testing.T) {
	state := "cloud-defend: enforcing revision 1 of a\n"
	events, blocked := "cloud-defend: events: 3 exec, 1 fork\n", "cloud-defend: blocked: 0 operations; lost: 0 events\n"
	for _, c := range []struct {
		verb   string
		status int
		output string
		fault  string
	}{
		{"", 0, "anything", ""},
		{"", 1, "anything", "exit status 1"},
		{"doctor", 0, "kernel 6.1\n\ncan block (BPF LSM)\n", ""},
		{"doctor", 3, "can block (BPF LSM)\n", "exit status 3"},
		{"doctor", 0, "can block (BPF LSM)\nmore\n", "does not end with"},
		{"doctor", 0, "can block (fmod_ret, without BPF LSM)\n", "does not end with"},
		{"doctor", 0, "whether it can block (BPF LSM)\n", "does not end with"},
		{"run", 0, state + events + blocked, ""},
		{"run", 130, state + events + blocked, "exit status 130"},
		{"run", 0, state, "does not end with"},
		{"run", 0, events + blocked + state, "does not end with"},
		{"run", 0, state + blocked, "does not end with"},
	} {
		err := verbs[c.verb].check(c.status, c.output)
		if c.fault == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.fault, c.output)
		}
	}
}
