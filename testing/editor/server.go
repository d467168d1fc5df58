// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/cloud-defend/testing/debian"
)

// version is the release of yaml-language-server that the trial uses: what Visual Studio Code's YAML extension, vim,
// Emacs and others run.
const version = "2.0.0"

// furnish installs the server into the cache and returns its program.
func furnish(ctx context.Context, log io.Writer) (string, error) {
	cache, err := debian.Open(log)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache.Dir, "yaml-language-server-"+version)
	program := filepath.Join(dir, "node_modules", "yaml-language-server", "bin", "yaml-language-server")
	if err := debian.Install(ctx, log,
		debian.Need{Program: "node", Package: "nodejs", Why: "runs the language server"},
		debian.Need{Program: "npm", Package: "npm", Why: "fetches the language server"}); err != nil {
		return "", err
	}
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	start := time.Now()
	cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "yaml-language-server@"+version)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install yaml-language-server %s: %w\n%s", version, err, out)
	}
	fmt.Fprintf(log, "installed yaml-language-server %s in %s\n", version, time.Since(start).Round(time.Second))
	return program, nil
}

// server is a running language server. Its methods are for one goroutine.
type server struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	last int
	// diagnostics are the latest of each document.
	diagnostics map[string][]diagnostic
}

type position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

type diagnostic struct {
	Range struct {
		Start position `json:"start"`
	} `json:"range"`
	Severity int    `json:"severity"`
	Message  string `json:"message"`
}

type message struct {
	ID     *json.RawMessage `json:"id"`
	Method string           `json:"method"`
	Params json.RawMessage  `json:"params"`
	Result json.RawMessage  `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// start runs the server as an editor does. It ends with ctx or with stop.
func start(ctx context.Context, program string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, "node", program, "--stdio"), diagnostics: map[string][]diagnostic{}}
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the language server: %w", err)
	}
	return s, s.greet()
}

func (s *server) greet() error {
	markdown := []string{"markdown"}
	capabilities := map[string]any{"textDocument": map[string]any{
		"completion": map[string]any{"completionItem": map[string]any{"snippetSupport": true, "documentationFormat": markdown}},
		"hover":      map[string]any{"contentFormat": markdown},
	}}
	if _, err := s.ask("initialize", map[string]any{"processId": nil, "rootUri": nil, "capabilities": capabilities}); err != nil {
		return err
	}
	// Without the catalogue of public schemas, so that only what the document names counts.
	settings := map[string]any{"yaml": map[string]any{
		"validate": true, "hover": true, "completion": true, "schemaStore": map[string]any{"enable": false},
	}}
	return errors.Join(
		s.send(map[string]any{"method": "initialized", "params": map[string]any{}}),
		s.send(map[string]any{"method": "workspace/didChangeConfiguration", "params": map[string]any{"settings": settings}}))
}

func (s *server) stop() error {
	_, asked := s.ask("shutdown", nil)
	return errors.Join(asked, s.send(map[string]any{"method": "exit"}), s.cmd.Wait())
}

func (s *server) send(fields map[string]any) error {
	fields["jsonrpc"] = "2.0"
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.in, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// ask sends a request and returns its result. What else arrives is taken note of.
func (s *server) ask(method string, params any) (json.RawMessage, error) {
	s.last++
	if err := s.send(map[string]any{"id": s.last, "method": method, "params": params}); err != nil {
		return nil, err
	}
	for {
		m, err := s.next()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		if m.Method != "" || m.ID == nil || string(*m.ID) != strconv.Itoa(s.last) {
			continue
		}
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		return m.Result, nil
	}
}

// next reads a message, answers it if it is a request, and keeps diagnostics.
func (s *server) next() (message, error) {
	var m message
	header, err := textproto.NewReader(s.out).ReadMIMEHeader()
	if err != nil {
		return m, fmt.Errorf("read from the language server: %w", err)
	}
	length, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil {
		return m, fmt.Errorf("read from the language server: %w", err)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(s.out, body); err != nil {
		return m, fmt.Errorf("read from the language server: %w", err)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("decode what the language server says: %w", err)
	}
	switch {
	case m.Method == "textDocument/publishDiagnostics":
		return m, s.note(m.Params)
	case m.Method != "" && m.ID != nil:
		return m, s.send(map[string]any{"id": m.ID, "result": nothingFor(m)})
	}
	return m, nil
}

// nothingFor answers what servers ask editors for: settings, of which there are none but those sent.
func nothingFor(m message) any {
	var asked struct {
		Items []any `json:"items"`
	}
	if m.Method == "workspace/configuration" && json.Unmarshal(m.Params, &asked) == nil {
		return make([]any, len(asked.Items))
	}
	return nil
}

func (s *server) note(params json.RawMessage) error {
	var published struct {
		URI         string       `json:"uri"`
		Diagnostics []diagnostic `json:"diagnostics"`
	}
	if err := json.Unmarshal(params, &published); err != nil {
		return err
	}
	s.diagnostics[published.URI] = published.Diagnostics
	return nil
}

// open shows the server a document, and returns what it finds wrong with it.
func (s *server) open(uri, text string) ([]diagnostic, error) {
	err := s.send(map[string]any{"method": "textDocument/didOpen", "params": map[string]any{
		"textDocument": map[string]any{"uri": uri, "languageId": "yaml", "version": 1, "text": text},
	}})
	for err == nil {
		if found, ok := s.diagnostics[uri]; ok {
			return found, nil
		}
		_, err = s.next()
	}
	return nil, err
}

func at(uri string, p position) map[string]any {
	return map[string]any{"textDocument": map[string]any{"uri": uri}, "position": p}
}

// hover is the text that the server shows at a place, without the line that names the schema's file.
func (s *server) hover(uri string, p position) (string, error) {
	result, err := s.ask("textDocument/hover", at(uri, p))
	if err != nil {
		return "", err
	}
	var shown struct {
		Contents struct {
			Value string `json:"value"`
		} `json:"contents"`
	}
	if err := json.Unmarshal(result, &shown); err != nil {
		return "", err
	}
	text, _, _ := strings.Cut(shown.Contents.Value, "\n\nSource: ")
	return text, nil
}

// complete lists what the server proposes at a place.
func (s *server) complete(uri string, p position) ([]string, error) {
	result, err := s.ask("textDocument/completion", at(uri, p))
	if err != nil {
		return nil, err
	}
	var proposed struct {
		Items []struct {
			Label string `json:"label"`
		} `json:"items"`
	}
	if err := json.Unmarshal(result, &proposed); err != nil {
		return nil, err
	}
	var labels []string
	for _, item := range proposed.Items {
		labels = append(labels, item.Label)
	}
	return labels, nil
}
