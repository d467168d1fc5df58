// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package apiserver runs a real Kubernetes API server, with its etcd, on
// loopback. It is built from the Go module proxy, once for each version, which
// takes ten minutes of a processor.
package apiserver

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"time"

	"github.com/elastic/cloud-defend/testing/debian"
)

// The users that a server knows, each by a token that is its name. Admin may do
// everything; what Node may do is up to the test.
const (
	Admin = "admin"
	Node  = "node"
)

const (
	startTime = 2 * time.Minute
	pollTime  = 50 * time.Millisecond
)

// Server is an API server.
type Server struct {
	dir, program, address string
	etcdAddress           string
	log                   *os.File
	etcd, api             *exec.Cmd
}

// Start starts a server that keeps everything in the folder dir. Progress goes
// to out.
func Start(ctx context.Context, dir string, out io.Writer) (*Server, error) {
	cache, err := debian.Open(out)
	if err != nil {
		return nil, err
	}
	etcd, err := Etcd(ctx, cache)
	if err != nil {
		return nil, err
	}
	programs, err := Kubernetes.Build(ctx, cache, Command)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, program: filepath.Join(programs, path.Base(Command))}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.startEtcd(ctx, etcd); err != nil {
		return nil, err
	}
	if err := s.StartAPI(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// prepare writes what the server reads, and chooses its ports.
func (s *Server) prepare() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	signing := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	tokens := fmt.Sprintf("%s,%[1]s,1,system:masters\n%s,%[2]s,2\n", Admin, Node)
	for name, content := range map[string][]byte{"signing.key": signing, "tokens": []byte(tokens)} {
		if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
			return err
		}
	}
	if s.log, err = os.Create(s.path("log")); err != nil {
		return err
	}
	s.etcdAddress, err = freeAddress()
	if err == nil {
		s.address, err = freeAddress()
	}
	return err
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// freeAddress is free now; nothing else on a test machine looks for one.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *Server) startEtcd(ctx context.Context, program string) error {
	peers, err := freeAddress()
	if err != nil {
		return err
	}
	client, peer := "http://"+s.etcdAddress, "http://"+peers
	s.etcd = s.command(ctx, program, "--data-dir", s.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	if err := s.etcd.Start(); err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	return nil
}

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	return cmd
}

// StartAPI starts the API server alone, after StopAPI, at the same address.
func (s *Server) StartAPI(ctx context.Context) error {
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	s.api = s.command(ctx, s.program, "--etcd-servers", "http://"+s.etcdAddress, "--bind-address", host, "--secure-port", port,
		"--cert-dir", s.path("certificates"), "--authorization-mode", "RBAC", "--token-auth-file", s.path("tokens"),
		"--service-account-issuer", "https://kubernetes.invalid", "--service-account-key-file", s.path("signing.key"),
		"--service-account-signing-key-file", s.path("signing.key"), "--service-cluster-ip-range", "10.96.0.0/16",
		"--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none")
	if err := s.api.Start(); err != nil {
		return fmt.Errorf("start the API server: %w", err)
	}
	return s.awaitReady(ctx)
}

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	client := s.Client(Admin)
	defer client.http.CloseIdleConnections()
	for {
		_, err := client.Get(ctx, "/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready, see %s: %w", s.log.Name(), err)
		}
	}
}

// StopAPI kills the API server; what it knows stays with etcd.
func (s *Server) StopAPI() error { return kill(s.api) }

// Stop ends everything.
func (s *Server) Stop() error {
	return errors.Join(kill(s.api), kill(s.etcd), s.log.Close())
}

func kill(cmd *exec.Cmd) error {
	if cmd == nil || cmd.Process == nil || cmd.ProcessState != nil {
		return nil
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = cmd.Wait() // it says that it was killed
	return nil
}

// Kubeconfig writes one for a user and returns its path.
func (s *Server) Kubeconfig(user string) (string, error) {
	path := s.path("kubeconfig-" + user)
	return path, os.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://%s", insecure-skip-tls-verify: true}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: %s}}]
`, s.address, user), 0o600)
}
