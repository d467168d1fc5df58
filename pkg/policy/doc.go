// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package policy is the language in which a user says what to watch and what to refuse in containers. This comment is
// its specification; Parse is its only reader.
//
// # Document
//
// A policy is one YAML document, a map:
//
//	version: text             optional, not interpreted
//	file:    section          at least one of file and process
//	process: section
//
// A section is a map of two lists, each of 1 to 64 items:
//
//	selectors:
//	  - name: etcWrites                        letters, digits, - and _, first a letter or digit, at most 128
//	    operation: [createFile, modifyFile]    conditions: at least one
//	    targetFilePath: [/etc/**]
//	responses:
//	  - match: [etcWrites]                     names of selectors of this section, at least one
//	    exclude: [packageManagers]             optional, may be empty
//	    actions: [alert, block]                log, alert, block: at least one
//
// A selector's name is unique in its section. The same name in both sections is allowed, with a warning. More than 64
// selectors and responses together in one section is a warning: Kibana's editor does not save such a policy.
//
// # Meaning
//
// A selector matches an operation when all of its conditions hold. A condition that is a list holds when any of its
// values matches. A response fires when at least one selector of match matches and none of exclude does. Responses are
// independent of each other, their order means nothing, and the actions of all that fire are united: log and alert
// make a document of the operation, block refuses it in the kernel before it happens. block asks for alert in the same
// response. File operations are only tried by file selectors, process operations by process selectors.
//
// # Conditions of both types
//
//	operation                what is done; without it a selector matches every operation of its type.
//	                         file: createExecutable modifyExecutable createFile modifyFile deleteFile
//	                         process: fork exec
//	containerImageFullName   registry and repository without tag, as in docker.io/library/nginx.
//	                         Not together with containerImageName
//	containerImageName       the last component of that name, as in nginx
//	containerImageTag        the tag, as in 1.27
//	kubernetesClusterId      the UID of the cluster's namespace kube-system
//	kubernetesClusterName    the cluster's name
//	kubernetesNamespace      the pod's namespace
//	kubernetesPodName        the pod's name; a * at the end stands for any text
//	kubernetesPodLabel       key:value; a * at the end of the value stands for any text, so that env:* asks for
//	                         the key alone, and env: for an empty value
//
// # Conditions of file selectors
//
//	targetFilePath           the file, as a process of the container sees it from the container's root
//	ignoreVolumeMounts       true: operations on a volume mounted into the container do not match
//	ignoreVolumeFiles        true: operations on a single file mounted into the container (a configMap's key, a
//	                         secret, /etc/hosts) do not match. Not together with ignoreVolumeMounts
//
// # Conditions of process selectors
//
//	processExecutable        the executable, as a process of the container sees it from the container's root.
//	                         Not together with processName
//	processName              the last component of the executable's path, cut to 15 bytes
//	sessionLeaderInteractive whether the session of the process has a controlling terminal
//
// # Paths
//
// A path is absolute and has no slash at its end. It has one of three forms:
//
//	/usr/bin/sh    this file
//	/usr/bin/*     every direct child of /usr/bin
//	/usr/**        everything below /usr at any depth, but not /usr itself; /** is every path
//
// "*" stands nowhere else; all other characters, "?" and "[" among them, stand for themselves. Paths are compared byte
// for byte, without normalisation: a value with a "." or ".." component is valid and never matches (a warning).
//
// # Lengths
//
// A value is at least 1 byte and at most 511 bytes of UTF-8 long; a targetFilePath at most 255, a processName at most 15.
// Every list of values holds at least one. A policy is at most 1 MiB of text and, its aliases expanded, 262,144 keys
// and values.
//
// # Blocking files
//
// A response with block refuses file operations wherever they happen if a selector of match names no place. Therefore
// each file selector in match that selects createFile, modifyFile or deleteFile (by name, or by having no operation)
// must have a targetFilePath, or a selector in exclude must narrow the response: one that has a targetFilePath, or that
// selects executables only. Blocking such operations on the path /** is a warning, and so is reporting them without
// any targetFilePath.
//
// # YAML
//
// Anchors, aliases and merge keys are understood. Refused are keys that are not listed here, keys given twice, values
// of another kind (a tag such as 1.20 is a number unless quoted), and a second document. Parse finds every fault and
// names its place, the cause and a remedy; see Fault.
//
// # Cases
//
// A file of cases says what a policy is expected to do. ParseCases reads it, with the same rules of YAML:
//
//	cases:
//	  - name: nginx may not change itself      any text, unique in the file
//	    container:                             optional; what is not written is empty
//	      image: nginx:1.27                    as container runtimes read it: docker.io/library/nginx, tag 1.27
//	      namespace: shop                      and pod, clusterId, clusterName
//	      labels: {app: web}
//	    operation: modifyExecutable            one of either type
//	    path: /usr/sbin/nginx                  of a file operation
//	    expect:                                at least one of:
//	      selectors: [binaries]                exactly the matching selectors of the responses that fire
//	      actions: [alert, block]              exactly their actions; [] is none
//
// container: unknown is a container that the runtime has not described yet. A file operation may say mounted: volume,
// for a file on a volume, or mounted: file, for a file that is a mount itself. A process operation has, in the place of
// path, executable (of an exec the new one, of a fork the parent's) and may say interactive: true.
package policy
