// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package policy is the language in which a user says what to watch and what to refuse in containers. This comment is
// its specification; Parse and its siblings are its only readers. docs/policy.md says the same for users, and
// specs/policy.schema.json for editors; both are made from the table of conditions that the reader works with.
//
// The language contains the official grammar, that of Elastic's integration package and of Kibana's form, and what is
// marked "ours" below. Every policy of the official grammar means here what it means there. ParseOfficial refuses ours.
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
//	operation                what is done; without it a selector matches every operation of its type but openFile.
//	                         file: createExecutable modifyExecutable createFile modifyFile deleteFile,
//	                         and ours: openFile, opening a file to read it
//	                         process: fork exec
//	containerImageFullName   registry and repository without tag, as in docker.io/library/nginx.
//	                         Not together with containerImageName
//	containerImageName       the last component of that name, as in nginx
//	containerImageTag        the tag, as in 1.27
//	kubernetesClusterId      the UID of the cluster's namespace kube-system
//	kubernetesClusterName    the cluster's name
//	kubernetesNamespace      the pod's namespace
//	kubernetesPodName        the pod's name
//	kubernetesPodLabel       key:value, so that env:* asks for the key alone, and env: for an empty value
//
// In each of these but operation, "*" stands for any text, slashes as well; in a label only in its value. The official
// grammar has it only at the end of kubernetesPodName and kubernetesPodLabel; the rest is ours. What a container lacks,
// such as the pod's name of a container outside of Kubernetes, is matched by nothing, not even by "*" alone; a label
// with an empty value is not lacking. Ours are also names of images with "__" or more than one "-" in a row, which OCI
// allows, and "_" in the key of a label, which Kubernetes allows. A value that nothing has, as docker.io/nginx, which is
// docker.io/library/nginx in full, is a warning.
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
//	processUserId            ours: the effective user id, a number from 0 to 4294967294, as the node counts it and as
//	                         user.id has it
//	processUserName          ours: the name that the container's own /etc/passwd gives to that id. The file is read once,
//	                         as soon as the container has its own root: what is written there later changes nothing,
//	                         and before that nobody has a name. In an unknown container the condition is as unknown as
//	                         those on images
//	sessionLeaderName        ours: the last component of the path of the session leader's executable, cut to 15 bytes
//	sessionLeaderExecutable  ours: the session leader's executable, as processExecutable
//	sessionLeaderInteractive whether the session of the process has a controlling terminal
//
// Conditions on id and name, or on the leader's name and executable, may stand together: then both have to hold.
//
// # Paths
//
// A path is absolute and has no slash at its end. Its components are texts of at least one byte, in which "*" stands
// for any text without a slash, or "**" alone:
//
//	/usr/bin/curl      this file
//	/usr/bin/*         every direct child of /usr/bin; * alone is at least one byte
//	/usr/**            everything below /usr at any depth, but not /usr itself; /** is every path
//	/usr/*/bin/**      ours: * in any component, alone or with other text: /opt/lib*/*.so
//	/srv/**/config.yml ours: ** in the middle is any number of directories, and none: /srv/config.yml as well
//
// All other characters, "?" and "[" among them, stand for themselves. Paths are compared byte for byte, without
// normalisation: a value with a "." or ".." component is valid and never matches (a warning). Symbolic links are resolved
// before: a path through what is a link in most images, as /bin/sh is, without the path that it leads to is a warning.
//
// # Lengths
//
// A value is at least 1 byte and at most 511 bytes of UTF-8 long; a targetFilePath at most 255, a processName and a
// sessionLeaderName at most 15. Every list of values holds at least one. A policy is at most 1 MiB of text and, its
// aliases expanded, 262,144 keys and values.
//
// # Blocking files
//
// A response with block refuses file operations wherever they happen if a selector of match names no place. Therefore
// each file selector in match that selects createFile, modifyFile or deleteFile (by name, or by having no operation)
// must have a targetFilePath, or a selector in exclude must narrow the response: one that has a targetFilePath, or that
// selects executables only. Each that selects openFile must have a targetFilePath. Blocking such operations on the path
// /** or the like is a warning, and so is reporting them without any targetFilePath.
//
// Blocking exec in a process response is a warning where no condition of the selector is about the program, its user or
// its session, and where exclude has no selector with such a condition.
//
// # YAML
//
// Anchors, aliases and merge keys are understood. Refused are keys that are not listed here, keys given twice, values
// of another kind (a tag such as 1.20 is a number unless quoted), and a second document. Parse finds every fault and
// names its place, the cause and a remedy; see Fault.
//
// # Older generations
//
// What older generations of the official grammar said otherwise is accepted with a warning that says how to write it
// today, if it can be said exactly, and refused otherwise:
//
//	fullContainerImageName     containerImageFullName
//	orchestratorClusterId      kubernetesClusterId
//	orchestratorClusterName    kubernetesClusterName
//	orchestratorNamespace      kubernetesNamespace
//	orchestratorResourceName   kubernetesPodName
//	orchestratorResourceLabel  kubernetesPodLabel
//	orchestratorType           [kubernetes] asks for the containers of pods, as kubernetesPodName: ["*"]
//	orchestratorResourceType   [pod], the same
//	processUserId              and processUserName, as above
//	/usr/sbin*                 a path as above, with a warning that it does not reach below /usr/sbin
//
// The first generation had selectors and responses at the root, without types, and of its responses only the first that
// matched fired. Such a document is read as a section file in which each response excludes what earlier ones match. An
// earlier response with an exclude takes a selector that is both matched and excluded, which two responses can say only
// if the later one names it too; otherwise the policy is refused. That generation's operation execMemFd, running a
// program from memory, is refused: here it is an exec, and nothing tells it from others, so that accepting it would
// either watch too much or silently nothing. A selector without operation included it, and gets a warning.
//
// # The official grammar
//
// ParseOfficial applies the rules of Kibana's form, so that what it accepts can be edited there. Besides ours and older
// generations it refuses: more than 64 selectors and responses together in one section, a selector's name used in both
// sections, false for ignoreVolumeMounts and ignoreVolumeFiles, which the form takes for true, and block in a process
// response with a selector that has no operation, unless an exclude has one: the form applies its rule for files there.
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
//	      selectors: [binaries]                exactly the matching selectors of the responses that fire, of their
//	                                           match lists; [] is none
//	      actions: [alert, block]              exactly their actions; [] is none
//
// What no policy does is a warning: block without alert, one of the two lists empty beside one that is not, and a selector
// that is in no match list.
//
// container: unknown is a container that the runtime has not described yet. A file operation may say mounted: volume,
// for a file on a volume, or mounted: file, for a file that is a mount itself. A process operation has, in the place of
// path, executable (of an exec the new one, of a fork the parent's) and may say user, the effective user id, which is
// otherwise 0, userName, sessionLeader, the path of that one's executable, and interactive: true.
package policy
