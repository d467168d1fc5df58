// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Type says which kind of operation a selector or a response is about. A response only refers to selectors of its
// own type. The numbers are shared with the kernel.
type Type uint8

// The types of the language.
const (
	File    Type = 0
	Process Type = 1
)

// Types lists every type, in the order of their numbers.
var Types = [...]Type{File, Process}

var typeNames = [...]string{File: "file", Process: "process"}

// String is the type's key in a policy.
func (t Type) String() string {
	if int(t) >= len(typeNames) {
		return "type " + strconv.Itoa(int(t))
	}
	return typeNames[t]
}

// Operation is what a process does to a file, or to itself. Operations are numbered per type, so one says nothing
// without its Type. The numbers are shared with the kernel.
type Operation uint8

// Operations of type File. OpenFile is opening a file to read it, and is only selected by name.
const (
	CreateExecutable Operation = 0
	ModifyExecutable Operation = 1
	CreateFile       Operation = 2
	ModifyFile       Operation = 3
	DeleteFile       Operation = 4
	OpenFile         Operation = 5
)

// Operations of type Process.
const (
	Fork Operation = 0
	Exec Operation = 1
)

var operationNames = [...][]string{
	File: {
		CreateExecutable: "createExecutable",
		ModifyExecutable: "modifyExecutable",
		CreateFile:       "createFile",
		ModifyFile:       "modifyFile",
		DeleteFile:       "deleteFile",
		OpenFile:         "openFile",
	},
	Process: {
		Fork: "fork",
		Exec: "exec",
	},
}

// Operations lists the operations of the type, in the order of their numbers.
func (t Type) Operations() []Operation {
	if int(t) >= len(operationNames) {
		return nil
	}
	ops := make([]Operation, len(operationNames[t]))
	for i := range ops {
		ops[i] = Operation(i)
	}
	return ops
}

// ImpliedOperations lists the operations that a selector without operations selects, in the order of their numbers. It is
// every operation of the type but OpenFile: reading is so frequent, and so rarely meant, that it has to be named.
func (t Type) ImpliedOperations() []Operation {
	return slices.DeleteFunc(t.Operations(), func(op Operation) bool { return t == File && op == OpenFile })
}

// OperationName is the name that the policy language gives to an operation of this type.
func (t Type) OperationName(op Operation) string {
	if int(t) >= len(operationNames) || int(op) >= len(operationNames[t]) {
		return "operation " + strconv.Itoa(int(op))
	}
	return operationNames[t][op]
}

// Action is the set of things a response does.
type Action uint8

// The actions, as bits.
const (
	Log Action = 1 << iota
	Alert
	Block
)

// Actions lists every single action, in the order of their bits.
var Actions = [...]Action{Log, Alert, Block}

var actionNames = [...]string{"log", "alert", "block"}

// String lists the actions of the set as the policy language names them, separated by "|"; the empty set is "none".
func (a Action) String() string {
	var names []string
	for i, single := range Actions {
		if a&single != 0 {
			names = append(names, actionNames[i])
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

// Selector is a named set of conditions. Values of one condition are alternatives, and all conditions that are
// present must hold. A nil list is an absent condition; no Operations means the type's ImpliedOperations.
type Selector struct {
	Name                   string
	Operations             []Operation
	ContainerImageFullName []string
	ContainerImageName     []string
	ContainerImageTag      []string
	KubernetesClusterID    []string
	KubernetesClusterName  []string
	KubernetesNamespace    []string
	KubernetesPodName      []string
	KubernetesPodLabel     []string

	TargetFilePath     []string // File only
	IgnoreVolumeMounts bool     // File only
	IgnoreVolumeFiles  bool     // File only

	ProcessExecutable        []string // Process only
	ProcessName              []string // Process only
	ProcessUserID            []uint32 // Process only; effective user ids, of the initial user namespace
	ProcessUserName          []string // Process only; names that the container's own /etc/passwd gives to such ids
	SessionLeaderName        []string // Process only
	SessionLeaderExecutable  []string // Process only
	SessionLeaderInteractive *bool    // Process only; nil is an absent condition
}

// Response fires when at least one selector of Match matches and none of Exclude does.
type Response struct {
	Match   []string
	Exclude []string
	Actions Action
}

// Section holds the selectors and the responses of one type. Responses are independent of each other: their order
// means nothing, and the actions of all that fire are united.
type Section struct {
	Selectors []Selector
	Responses []Response
}

// Policy is a policy that Parse accepted: names resolve, values match their patterns, limits hold. A nil section is
// an absent one. Nothing changes a Policy after Parse returned it, so it may be read concurrently.
type Policy struct {
	File    *Section
	Process *Section
}

// Section returns the section of a type, nil when the policy has none.
func (p *Policy) Section(t Type) *Section {
	switch t {
	case File:
		return p.File
	case Process:
		return p.Process
	}
	return nil
}
