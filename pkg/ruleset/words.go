// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ruleset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/pkg/policy"
)

// phrases say each condition in words; the values follow.
var phrases = map[string]string{
	"containerImageFullName":  "the container's image is",
	"containerImageName":      "the last part of the image's name is",
	"containerImageTag":       "the image's tag is",
	"kubernetesClusterId":     "the cluster's id is",
	"kubernetesClusterName":   "the cluster's name is",
	"kubernetesNamespace":     "the pod's namespace is",
	"kubernetesPodName":       "the pod's name is",
	"kubernetesPodLabel":      "the pod has the label",
	"targetFilePath":          "the file is",
	"processExecutable":       "the executable is",
	"processName":             "the executable's name, cut to 15 bytes, is",
	"processUserId":           "the effective user is",
	"processUserName":         "the effective user's name is",
	"sessionLeaderName":       "the name of the session leader's executable, cut to 15 bytes, is",
	"sessionLeaderExecutable": "the session leader's executable is",
}

var flagPhrases = map[string]map[string]string{
	"ignoreVolumeMounts":       {"true": "the file is not on a mounted volume"},
	"ignoreVolumeFiles":        {"true": "the file is not a mount itself"},
	"sessionLeaderInteractive": {"true": "the session has a terminal", "false": "the session has no terminal"},
}

// mostValues is how many values of a condition are spelt out.
const mostValues = 12

func conditionWords(c policy.Condition) string {
	if flag, ok := flagPhrases[c.Key]; ok {
		return flag[c.Values[0]]
	}
	if c.Key == "kubernetesPodName" && slices.ContainsFunc(c.Values, isAnything) {
		return "the container belongs to a pod, any pod"
	}
	words := make([]string, 0, mostValues)
	for _, v := range c.Values[:min(len(c.Values), mostValues)] {
		words = append(words, valueWords(c.Key, v))
	}
	if more := len(c.Values) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return phrases[c.Key] + " " + strings.Join(words, " or ")
}

func valueWords(key, v string) string {
	switch kinds[key] {
	case anyPath:
		if dir, ok := strings.CutSuffix(v, "/**"); ok {
			return "below " + dir + "/"
		}
		if dir, ok := strings.CutSuffix(v, "/*"); ok && !strings.HasSuffix(dir, "/**") {
			return "directly in " + dir + "/"
		}
		if isGlob(v) {
			return "like " + v
		}
	case starred:
		if isAnything(v) {
			return "anything"
		}
		return strings.ReplaceAll(v, "*", "…")
	}
	return v
}

// isAnything reports whether a pattern is like every text.
func isAnything(pattern string) bool { return strings.Trim(pattern, "*") == "" }

func operationWords(t policy.Type, s *policy.Selector) string {
	if len(s.Operations) == 0 {
		if t == policy.File {
			return "any file operation but openFile"
		}
		return fmt.Sprintf("any %s operation", t)
	}
	var names []string
	for _, op := range s.Operations {
		names = append(names, t.OperationName(op))
	}
	return strings.Join(names, " or ")
}
