// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package cluster

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/testing/apiserver"
	"github.com/elastic/cloud-defend/testing/containers"
)

// What the node is, so that tests can tell it from a container.
const (
	MachineID = "0123456789abcdef0123456789abcdef"
	OSName    = "Node Linux"
	// address is the node's, service the one of the API server's service; both are on the loopback device.
	address, service = "10.99.0.1", "10.96.0.1"
)

// settings are the files of a node, by their paths; $ROOT is the cluster's folder.
var settings = map[string]string{
	"/etc/machine-id":  MachineID + "\n",
	"/etc/os-release":  "NAME=\"" + OSName + "\"\nID=node\nID_LIKE=debian\nVERSION_ID=\"13\"\nVERSION=\"13 (one)\"\nPRETTY_NAME=\"" + OSName + " 13 (one)\"\n",
	"/etc/resolv.conf": "nameserver 127.0.0.1\n",
	"/etc/hostname":    "guest\n",
	"/etc/cni/net.d/10-pods.conflist": `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": {
  "type": "host-local", "dataDir": "/var/lib/cni", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}`,
	"/etc/containerd/config.toml": `version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "` + containers.Pause + `"
`,
	"$ROOT/tokens":       "admin,admin,1,system:masters\nnode,system:node:guest,2,system:nodes\n",
	"$ROOT/admin.config": kubeconfig("admin"),
	"$ROOT/node.config":  kubeconfig("node"),
	// The kubelet lets everybody in: it is on no network.
	"$ROOT/kubelet.yml": `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix://` + containers.Socket + `
makeIPTablesUtilChains: false
syncFrequency: 10s
evictionHard: {memory.available: 10Mi, nodefs.available: 1%, imagefs.available: 1%}
`,
}

func kubeconfig(token string) string {
	return `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:443", insecure-skip-tls-verify: true}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: ` + token + `}}]
`
}

// servers is how many of the daemons the others wait for.
const servers = 3

// daemons are the cluster's programs with their arguments, in the order in which they are started.
var daemons = []string{
	"containerd --log-level warn",
	"etcd --data-dir $ROOT/etcd --unsafe-no-fsync --log-level warn",
	"kube-apiserver --etcd-servers http://127.0.0.1:2379 --secure-port 443 --advertise-address " + address +
		" --cert-dir $ROOT/certificates --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction" +
		" --token-auth-file $ROOT/tokens --service-account-issuer https://kubernetes.invalid" +
		" --service-account-key-file $ROOT/signing.key --service-account-signing-key-file $ROOT/signing.key" +
		" --service-cluster-ip-range 10.96.0.0/16 --endpoint-reconciler-type none --allow-privileged",
	"kube-controller-manager --kubeconfig $ROOT/admin.config --leader-elect=false" +
		" --service-account-private-key-file $ROOT/signing.key --root-ca-file $ROOT/certificates/apiserver.crt" +
		" --node-monitor-grace-period 5m --controllers " + controllers,
	"kube-scheduler --kubeconfig $ROOT/admin.config --leader-elect=false",
	"kubelet --config $ROOT/kubelet.yml --kubeconfig $ROOT/node.config --cert-dir $ROOT/certificates --node-ip " + address,
}

// controllers are those that a DaemonSet and a Deployment need: what makes their pods, what gives these a service
// account, its token and the server's certificate, and what says that the node is ready.
const controllers = "daemonset-controller,deployment-controller,replicaset-controller,serviceaccount-controller," +
	"root-ca-certificate-publisher-controller,node-lifecycle-controller"

// Cluster is a running one.
type Cluster struct {
	root    string
	group   *os.File
	daemons []*exec.Cmd
	// Admin may do everything.
	Admin *apiserver.Client
}

// Start starts what Furnish put into the folder disk, and returns when the API server answers. What the daemons log is
// below Logs. The guest is used up then: nothing ends them but its own end.
func Start(ctx context.Context, disk string) (*Cluster, error) {
	c := &Cluster{root: filepath.Join(disk, Folder), Admin: apiserver.NewClient("127.0.0.1:443", "admin")}
	if err := c.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the node: %w", err)
	}
	var err error
	if c.group, err = group(); err != nil {
		return nil, fmt.Errorf("make a cgroup for the daemons: %w", err)
	}
	for i, line := range daemons {
		if i == servers { // which takes a minute, in which there is something else to do
			if err := c.importImages(ctx, disk); err != nil {
				return nil, fmt.Errorf("import images: %w", err)
			}
			if err := Poll(ctx, func() error { _, err := c.Admin.Get(ctx, "/readyz"); return err }); err != nil {
				return nil, fmt.Errorf("wait for the API server: %w", err)
			}
		}
		name, args, _ := strings.Cut(line, " ")
		if err := c.start(name, strings.Fields(c.expand(args))); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
	}
	return c, nil
}

// group makes a cgroup for the daemons, as systemd does, so that pods are not in a race with each of their threads. It has
// less weight than that of a node: emulated, the daemons by themselves take all of the processors.
func group() (*os.File, error) {
	const root, dir = "/sys/fs/cgroup/", "/sys/fs/cgroup/system"
	if err := errors.Join(
		os.WriteFile(root+"cgroup.subtree_control", []byte("+cpu"), 0), os.Mkdir(dir, 0o755),
		os.WriteFile(dir+"/cpu.weight", []byte("20"), 0),
	); err != nil {
		return nil, err
	}
	return os.Open(dir)
}

// Logs is the folder of what daemons log.
func (c *Cluster) Logs() string { return filepath.Join(c.root, "logs") }

func (c *Cluster) expand(text string) string { return strings.ReplaceAll(text, "$ROOT", c.root) }

// prepare makes a machine with nothing but a kernel a node.
func (c *Cluster) prepare(ctx context.Context) error {
	for name, text := range settings {
		name = c.expand(name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(c.expand(text)), 0o644); err != nil {
			return err
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	signing := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	errs := []error{
		os.WriteFile(filepath.Join(c.root, "signing.key"), signing, 0o600),
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
		os.MkdirAll(c.Logs(), 0o755),
		os.MkdirAll("/opt/cni", 0o755), os.Symlink(filepath.Join(c.root, "bin"), "/opt/cni/bin"),
		os.MkdirAll("/var", 0o755), os.Symlink("/run", "/var/run"),
		unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""),
	}
	for _, dir := range []string{"/var/lib", "/var/log"} { // on the disk: memory is scarce, and not for overlays
		from := filepath.Join(c.root, dir)
		errs = append(errs, os.MkdirAll(from, 0o755), os.MkdirAll(dir, 0o755), unix.Mount(from, dir, "", unix.MS_BIND, ""))
	}
	for _, args := range []string{
		"addr add " + address + "/32 dev lo", "addr add " + service + "/32 dev lo", "route add default dev lo",
	} {
		out, err := exec.CommandContext(ctx, "/bin/ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *Cluster) start(name string, args []string) error {
	log, err := os.Create(filepath.Join(c.Logs(), name))
	if err != nil {
		return err
	}
	bin := filepath.Join(c.root, "bin")
	// The guest's end is its own: whatever runs is killed with what started it.
	cmd := exec.CommandContext(context.Background(), filepath.Join(bin, name), args...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(c.group.Fd())}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.daemons = append(c.daemons, cmd)
	return log.Close()
}

// importImages waits for containerd.
func (c *Cluster) importImages(ctx context.Context, disk string) error {
	err := Poll(ctx, func() error { _, err := os.Stat(containers.Socket); return err })
	if err != nil {
		return err
	}
	for _, archive := range []string{filepath.Join(c.root, "image.tar"), filepath.Join(disk, containers.Folder, "images.tar")} {
		cmd := exec.CommandContext(ctx, filepath.Join(c.root, "bin/ctr"), "--namespace", "k8s.io", "images", "import", archive)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// LastWords are the ends of the daemons' logs, for when something is wrong.
func (c *Cluster) LastWords() string {
	var words strings.Builder
	err := fs.WalkDir(os.DirFS(c.Logs()), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(c.Logs(), name))
		if len(text) > lastWords {
			text = text[len(text)-lastWords:]
		}
		fmt.Fprintf(&words, "--- %s\n%s\n", name, text)
		return err
	})
	if err != nil {
		fmt.Fprintln(&words, err)
	}
	return words.String()
}

const lastWords = 6 << 10
