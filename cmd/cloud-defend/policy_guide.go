// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

// The texts from which a newcomer writes and tests a first policy. A test runs
// the examples.

const examplePolicy = `  file:
    selectors:
      - name: programs
        operation: [createExecutable, modifyExecutable]
        containerImageName: [nginx]
      - name: pages
        operation: [createFile, modifyFile, deleteFile]
        targetFilePath: [/usr/share/nginx/html/**]
        containerImageName: [nginx]
      - name: staging
        kubernetesNamespace: [staging]
    responses:
      - match: [programs, pages]
        exclude: [staging]
        actions: [alert, block]
  process:
    selectors:
      - name: shells
        operation: [exec]
        processName: [sh, bash, dash]
        sessionLeaderInteractive: true
        containerImageName: [nginx]
    responses:
      - match: [shells]
        actions: [log, alert]
`

const exampleCases = `  cases:
    - name: nobody changes a page
      container: {image: "nginx:1.27", namespace: shop}
      operation: modifyFile
      path: /usr/share/nginx/html/index.html
      expect: {selectors: [pages], actions: [alert, block]}
    - name: staging may change its pages
      container: {image: "nginx:1.27", namespace: staging}
      operation: modifyFile
      path: /usr/share/nginx/html/index.html
      expect: {actions: []}
    - name: logs are written
      container: {image: "nginx:1.27", namespace: shop}
      operation: createFile
      path: /var/log/nginx/access.log
      expect: {actions: []}
    - name: a shell on a terminal is reported
      container: {image: "nginx:1.27"}
      operation: exec
      executable: /usr/bin/bash
      interactive: true
      expect: {selectors: [shells], actions: [log, alert]}
`

const policyGuide = `Check, explain and test a policy, without a kernel and without root.

A policy says what to watch in containers, and what to refuse. Selectors name
operations: all of a selector's conditions must hold, and within one condition
any of the values. A response fires when one of its match selectors matches and
none of its exclude selectors does. Its actions: log writes an event, alert an
alert, block (always together with alert) refuses the operation before it
happens. The order of responses means nothing.

A policy for a web server, web.yml:

` + examplePolicy + `
Write it step by step:

  cloud-defend policy validate web.yml        is it a policy? every fault, with
                                              its line and what to write instead
  cloud-defend policy explain web.yml         what does it do, in words? what of
                                              it does nothing?
  cloud-defend policy test web.yml cases.yml  does it do what I expect? see
                                              cloud-defend policy test --help
  cloud-defend policy diff web.yml new.yml    what does a new version change?
  cloud-defend run --policy web.yml           enforce it on this machine

Conditions of every selector (a selector has a name and at least one):

  operation               file: createExecutable modifyExecutable createFile
                          modifyFile deleteFile openFile; process: fork exec.
                          Without it: every operation of the type but openFile,
                          which is opening a file to read it
  containerImageName      nginx: the last part of the image's name
  containerImageFullName  docker.io/library/nginx: without the tag
  containerImageTag       "1.27": in quotes where YAML would see a number
  kubernetesNamespace, kubernetesClusterId, kubernetesClusterName
  kubernetesPodName       web-0
  kubernetesPodLabel      app:web; app:* asks for the key alone
                          In all of these * stands for any text: web-*

of file selectors, which cannot ask who acts:

  targetFilePath          /etc/passwd: this file; /etc/*: all directly in /etc;
                          /etc/**: all below it; /etc/*.d/**, /**/*.conf. block
                          on createFile, modifyFile, deleteFile or openFile asks
                          for it
  ignoreVolumeMounts: true   not on mounted volumes
  ignoreVolumeFiles: true    not on single mounted files, as configMap keys

of process selectors:

  processExecutable       a path, as above
  processName             sh: the end of that path, at most 15 bytes
  processUserId           0: the effective user, a number
  processUserName         root: by the container's own /etc/passwd
  sessionLeaderExecutable, sessionLeaderName   the same of the session's leader
  sessionLeaderInteractive: true   only where the session has a terminal

Paths are as the container sees them, links resolved: sh may be dash or busybox.
createExecutable and modifyExecutable are about files with execute permission,
and about giving it; createFile and modifyFile are about all other files,
deleteFile is about both. At most 64 selectors and 64 responses each for file
and process. What of this Kibana's form does not know, validate --official
tells.`

const casesGuide = `Try operations on a policy and compare what it does with what you expect.

Each case of CASES.yml is one operation in one container. The kernel's own BPF
programs judge it where they load, which takes root, and the same compiled
tables do without them everywhere; nothing is attached, and nothing happens.

` + exampleCases + `
A case:

  name        any text, once per file
  container   what is known of it: image, namespace, pod, labels (a map),
              clusterId, clusterName; what is left out is empty. An image is
              read as runtimes read it: nginx:1.27 is docker.io/library/nginx,
              tag 1.27. "container: unknown" is one that has just started, of
              which the image is not known yet: block lets pass what it would
              not refuse in every container
  operation   one, as in a selector. A rename is two: deleteFile of the old
              path, and what happens at the new one
  path        of a file operation: the file
  mounted     of a file operation: volume, when the file is on a mounted volume,
              or file, when it is mounted itself
  executable  of exec the new program, of fork the parent's
  user        of a process operation: the effective user id, 0 if not written
  userName    the name that the container has for it
  sessionLeader   the path of the session leader's executable
  interactive true when the session has a terminal
  expect      selectors, actions or both, exactly: actions are those of all
              responses that fire, selectors those that made them fire; [] is
              none

Output: one line per case, under a failed one the difference and what led to it;
who judged is said on standard error. One of the files may be -, standard input.
Exit status: 0 every case is ok, 1 one failed, 2 the policy or the cases have
faults; those are listed like those of a policy.`
