// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import "regexp"

// Byte limits of a condition's values.
const (
	maxValue       = 511
	maxFilePath    = 255
	maxProcessName = 15 // what the kernel keeps of a command's name
)

// maxUserID is the largest user id: the one above it, 2^32-1, stands for "no user" in system calls.
const maxUserID = 1<<32 - 2

// Parts of patterns. They are written so that Go and the engines behind JSON Schema read them alike. A wildcard never
// stands beside another, so that nobody takes two of them in a name for the "**" of paths.
const (
	// imagePart is a component of a repository as the distribution specification of OCI has it.
	imagePart = `[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`
	imageByte = `[a-z0-9._-]`
	// imageGlob is a component with at least one star.
	imageGlob = imageByte + `*(?:\*` + imageByte + `+)*\*` + imageByte + `*`
	// imageAny is a component with any number of stars.
	imageAny   = `(?:\*?` + imageByte + `+(?:\*` + imageByte + `+)*\*?|\*)`
	registry   = `(?:\[[a-fA-F0-9:]+\]|(?:[a-zA-Z0-9-](?:\.[a-z0-9]+)*)+)`
	hostByte   = `[a-zA-Z0-9.-]`
	hostGlob   = hostByte + `*(?:\*` + hostByte + `+)*\*` + hostByte + `*`
	port       = `(?::[0-9]+)?`
	labelBytes = `[a-zA-Z0-9._-]`
	pathPart   = `(?:\*?[^/*]+(?:\*[^/*]+)*\*?|\*)`
)

var (
	pathPattern  = regexp.MustCompile(`^(?:/(?:` + pathPart + `|\*\*))+$`)
	imagePattern = regexp.MustCompile(`^(?:` + imagePart + `|` + imageGlob + `)$`)
	fullPattern  = regexp.MustCompile(`^(?:` + registry + port + `(?:/` + imagePart + `)+` +
		`|` + registry + port + `(?:/` + imagePart + `)*/` + imageGlob + `(?:/` + imageAny + `)*` +
		`|` + hostGlob + port + `(?:/` + imageAny + `)*)$`)
	labelPattern = regexp.MustCompile(`^(?:[a-zA-Z0-9.-]+/)?` + labelBytes + `+:` + labelBytes + `*(?:\*` + labelBytes + `+)*\*?$`)
	namePattern  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`)
)

// What the official grammar allows of the above.
var (
	officialPath = official{
		regexp.MustCompile(`^(?:/[^/*]+)*(?:/\*|/\*\*)?$`),
		`has * and ** as the last component of a path only`, "write the paths one by one",
	}
	officialImage = official{
		regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`),
		`has neither * nor two separators in a row in the names of images`, "write the names one by one",
	}
	officialFull = official{
		regexp.MustCompile(`^` + registry + port + `(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)+$`),
		`has neither * nor two separators in a row in the names of images`, "write the names one by one",
	}
	officialLabel = official{
		regexp.MustCompile(`^(?:[a-zA-Z0-9.-]+/)?[a-zA-Z0-9.-]+:[a-zA-Z0-9._-]*\*?$`),
		`has no _ in a label's key, and * only at the end of its value`, "select by another label",
	}
	officialPodName = official{
		regexp.MustCompile(`^[^*]*\*?$`), `has * only at the end of a pod's name`, "write the names one by one",
	}
	officialText = official{regexp.MustCompile(`^[^*]*$`), `has no * here`, "write the values one by one"}
)

// official is what the official grammar says about a value that this language allows.
type official struct {
	pattern      *regexp.Regexp // nil allows the same
	says, remedy string
}

const (
	pathForm = `write an absolute path without a slash at its end, as in /usr/bin/curl, /usr/bin/* (what is directly in it), ` +
		`/usr/** (everything below) or /usr/*/bin/**; ** stands alone between slashes`
	labelForm = `write key:value, where * in the value stands for any text and the value may be empty, as in env:prod*`
	imageForm = `write the last component of the image's name in lower case, without registry and tag, as in nginx or nginx-*`
	fullForm  = `write registry and repository, without tag and digest, as in docker.io/library/nginx or docker.io/library/*`
)

const nameForm = "start with a letter or a digit and go on with letters, digits, - and _"

var (
	ofFile    = []Type{File}
	ofProcess = []Type{Process}
	ofBoth    = []Type{File, Process}
)

const (
	operationKey = "operation"
	podNameKey   = "kubernetesPodName"
)

// conditions is the language: what a selector may say, in the order in which messages, the schema and the reference
// list it.
var conditions = []condition{
	{
		key: operationKey, types: ofBoth, maxBytes: maxValue,
		says:    "What is done. Without it a selector matches every operation of its type, except openFile.",
		example: "[createFile, modifyFile]",
	},
	{
		key: "containerImageFullName", types: ofBoth, maxBytes: maxValue, pattern: fullPattern, form: fullForm, cause: fullNameCause, official: officialFull, never: neverFullName,
		rival: "containerImageName", wildcard: textWildcard,
		says:    "The image's registry and repository, without its tag. * stands for any text, slashes as well.",
		example: "docker.io/library/nginx",
		list:    func(s *Selector) *[]string { return &s.ContainerImageFullName },
	},
	{
		key: "containerImageName", types: ofBoth, maxBytes: maxValue, pattern: imagePattern, form: imageForm, cause: imageCause, official: officialImage,
		rival: "containerImageFullName", wildcard: textWildcard,
		says:    "The last component of the image's repository, without its tag. * stands for any text.",
		example: "nginx",
		list:    func(s *Selector) *[]string { return &s.ContainerImageName },
	},
	{
		key: "containerImageTag", types: ofBoth, maxBytes: maxValue, official: officialText, never: neverTag, wildcard: textWildcard,
		says:    "The image's tag. * stands for any text. A tag that reads as a number has to stand in quotes.",
		example: `"1.27"`,
		list:    func(s *Selector) *[]string { return &s.ContainerImageTag },
	},
	{
		key: "kubernetesClusterId", types: ofBoth, maxBytes: maxValue, official: officialText, wildcard: textWildcard,
		says:    "The cluster: the UID of its namespace kube-system. * stands for any text.",
		example: "6b0a0e5c-6f3c-4e55-a54d-5bd2b8a1a0c1",
		list:    func(s *Selector) *[]string { return &s.KubernetesClusterID },
	},
	{
		key: "kubernetesClusterName", types: ofBoth, maxBytes: maxValue, official: officialText, wildcard: textWildcard,
		says:    "The cluster's name. * stands for any text.",
		example: "production",
		list:    func(s *Selector) *[]string { return &s.KubernetesClusterName },
	},
	{
		key: "kubernetesNamespace", types: ofBoth, maxBytes: maxValue, official: officialText, never: neverNamespace, wildcard: textWildcard,
		says:    "The pod's namespace. * stands for any text.",
		example: "shop",
		list:    func(s *Selector) *[]string { return &s.KubernetesNamespace },
	},
	{
		key: podNameKey, types: ofBoth, maxBytes: maxValue, official: officialPodName, never: neverPod, wildcard: textWildcard,
		says:    "The pod's name. * stands for any text; * alone is every pod, and no container outside of pods.",
		example: `"web-*"`,
		list:    func(s *Selector) *[]string { return &s.KubernetesPodName },
	},
	{
		key: "kubernetesPodLabel", types: ofBoth, maxBytes: maxValue, pattern: labelPattern, form: labelForm, cause: labelCause, official: officialLabel,
		wildcard: textWildcard,
		says:     "A label of the pod, key:value. * in the value stands for any text: env:* asks for the key alone, env: for an empty value.",
		example:  `"env:prod*"`,
		list:     func(s *Selector) *[]string { return &s.KubernetesPodLabel },
	},
	{
		key: "targetFilePath", types: ofFile, maxBytes: maxFilePath, pattern: pathPattern, form: pathForm, cause: pathCause, official: officialPath,
		wildcard: pathWildcard,
		says: "The file, as a process of the container sees it from the container's root. /etc/passwd is this file, /etc/* what is " +
			"directly in /etc, /etc/** everything below it, /etc/**/*.conf every such name at any depth.",
		example: "/etc/**",
		list:    func(s *Selector) *[]string { return &s.TargetFilePath },
	},
	{
		key: "ignoreVolumeMounts", types: ofFile, rival: "ignoreVolumeFiles",
		says:    "true: operations on a volume mounted into the container do not match.",
		example: "true",
		flag:    func(s *Selector, v bool) { s.IgnoreVolumeMounts = v },
	},
	{
		key: "ignoreVolumeFiles", types: ofFile, rival: "ignoreVolumeMounts",
		says:    "true: operations on a single file mounted into the container (a configMap's key, a secret, /etc/hosts) do not match.",
		example: "true",
		flag:    func(s *Selector, v bool) { s.IgnoreVolumeFiles = v },
	},
	{
		key: "processExecutable", types: ofProcess, maxBytes: maxValue, pattern: pathPattern, form: pathForm, cause: pathCause, official: officialPath,
		wildcard: pathWildcard, rival: "processName",
		says: "The executable, as a process of the container sees it from the container's root: of exec the new one, of fork the " +
			"parent's. /usr/bin/curl is this file, /tmp/** everything below /tmp.",
		example: "/usr/bin/curl",
		list:    func(s *Selector) *[]string { return &s.ProcessExecutable },
	},
	{
		key: "processName", types: ofProcess, maxBytes: maxProcessName, rival: "processExecutable",
		says:    "The last component of the executable's path, of which the first 15 bytes count. No wildcards.",
		example: "sh",
		list:    func(s *Selector) *[]string { return &s.ProcessName },
	},
	{
		key: "processUserId", types: ofProcess, ours: true,
		says: "The effective user id of the process, a number. It is the node's: in a container with a user namespace of its own, what " +
			"its ids are mapped to.",
		example: "0",
		ids:     func(s *Selector) *[]uint32 { return &s.ProcessUserID },
	},
	{
		key: "processUserName", types: ofProcess, ours: true, maxBytes: maxValue,
		says: "The name that the container's own /etc/passwd gives to the effective user id. The file is read once, when the container " +
			"starts or the program does: what is written there later changes nothing. Where it must hold against whoever may write " +
			"that file, use processUserId. No wildcards.",
		example: "root",
		list:    func(s *Selector) *[]string { return &s.ProcessUserName },
	},
	{
		key: "sessionLeaderName", types: ofProcess, ours: true, maxBytes: maxProcessName,
		says:    "The last component of the path of the session leader's executable, of which the first 15 bytes count. No wildcards.",
		example: "bash",
		list:    func(s *Selector) *[]string { return &s.SessionLeaderName },
	},
	{
		key: "sessionLeaderExecutable", types: ofProcess, ours: true, maxBytes: maxValue, pattern: pathPattern, form: pathForm, cause: pathCause,
		wildcard: pathWildcard,
		says:     "The executable of the leader of the process's session, a path as in processExecutable.",
		example:  "/usr/sbin/sshd",
		list:     func(s *Selector) *[]string { return &s.SessionLeaderExecutable },
	},
	{
		key: "sessionLeaderInteractive", types: ofProcess,
		says:    "Whether the session of the process has a controlling terminal: true for what a person does in a shell.",
		example: "true",
		flag:    func(s *Selector, v bool) { s.SessionLeaderInteractive = &v },
	},
}

// operationSays explains the operations, in the order of their numbers.
var operationSays = [...][]string{
	File: {
		CreateExecutable: "A file with execute permission comes into being under this name, or an existing one gets execute permission, which is `modifyFile` as well.",
		ModifyExecutable: "A file with execute permission is opened for writing, truncated, replaced or linked to another name, or its mode, owner or rights change.",
		CreateFile:       "Any other file comes into being under this name, symbolic links included.",
		ModifyFile:       "Any other file is opened for writing, truncated, replaced or linked to another name, or its mode, owner or rights change.",
		DeleteFile:       "A file of any kind loses this name: it is removed or renamed.",
		OpenFile:         "A file of any kind is opened to be read. Only a selector that names this operation matches it.",
	},
	Process: {
		Fork: "A process is about to be started by another one.",
		Exec: "A process is about to run another program.",
	},
}

// actionSays explains the actions, in the order of their bits.
var actionSays = [...]string{
	"Write a document to the stream of the operation's type.",
	"Write a document to the stream of alerts.",
	"Refuse the operation before it happens. It asks for alert in the same response.",
}
