// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecsfields

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/elastic/cloud-defend/testing/debian"
)

// source is the package of the npm registry that has the schema, and pins the file that says which one.
const (
	source = "@elastic/ecs"
	pins   = "testing/npm.txt"
	module = "package/build/commonjs/ecs_flat.js"
)

// Update writes the table of a repository anew.
func Update(ctx context.Context, root string, cache *debian.Cache) error {
	text, err := generate(ctx, root, cache)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, filepath.FromSlash(Path)), text, 0o644)
}

// Check fails if Update would change the table.
func Check(ctx context.Context, root string, cache *debian.Cache) error {
	want, err := generate(ctx, root, cache)
	if err != nil {
		return err
	}
	have, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(Path)))
	if err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("%s is not what the schema says of the fields that the package uses; go tool mage generate makes it anew", Path)
	}
	return nil
}

// definition is a field as the schema's own package tells of it.
type definition struct {
	Field
	Normalize []string `json:"normalize"`
}

func generate(ctx context.Context, root string, cache *debian.Cache) ([]byte, error) {
	pin, err := pinned(root)
	if err != nil {
		return nil, err
	}
	schema, err := pin.schema(ctx, cache)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	names, err := used(root)
	if err != nil {
		return nil, err
	}
	table := Table{Version: pin.version, Fields: map[string]Field{}}
	for _, name := range names {
		d, ok := schema[name]
		if !ok {
			return nil, fmt.Errorf("%s: ECS %s has no such field, so the package has to define it", name, pin.version)
		}
		d.Name = ""
		d.Array = slices.Contains(d.Normalize, "array")
		table.Fields[name] = d.Field
	}
	text, err := json.MarshalIndent(table, "", "  ")
	return append(text, '\n'), err
}

// pin is a line of testing/npm.txt.
type pin struct{ version, integrity string }

func pinned(root string) (pin, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(pins)))
	if err != nil {
		return pin{}, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == source {
			return pin{version: f[1], integrity: f[2]}, nil
		}
	}
	return pin{}, fmt.Errorf("%s: no line for %s", pins, source)
}

// schema returns all fields of the schema, from the cache or else from the registry.
func (p pin) schema(ctx context.Context, cache *debian.Cache) (map[string]definition, error) {
	path := filepath.Join(cache.Dir, "npm", "ecs-"+p.version+"-"+p.digest()+".json")
	text, err := os.ReadFile(path)
	if err != nil {
		if text, err = p.fetch(ctx, cache); err != nil {
			return nil, err
		}
		if err := keep(path, text); err != nil {
			return nil, err
		}
	}
	var fields map[string]definition
	return fields, json.Unmarshal(text, &fields)
}

// digest is a part of the integrity that a file's name may have.
func (p pin) digest() string {
	sum := sha512.Sum512([]byte(p.integrity))
	return fmt.Sprintf("%x", sum[:6])
}

// keep gives a file its name when it is whole.
func keep(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "")
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	if err := errors.Join(err, temp.Close()); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return os.Rename(temp.Name(), path)
}

// fetch downloads the package and has Node.js print the schema in it as JSON.
func (p pin) fetch(ctx context.Context, cache *debian.Cache) ([]byte, error) {
	err := debian.Install(ctx, cache.Log,
		debian.Need{Program: "node", Package: "nodejs", Why: "reads the Elastic Common Schema"},
		debian.Need{Program: "npm", Package: "npm", Why: "downloads the Elastic Common Schema"})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ecs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out, err := run(ctx, dir, nil, "npm", "pack", "--silent", source+"@"+p.version)
	if err != nil {
		return nil, err
	}
	archive, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(string(out))))
	if err != nil {
		return nil, err
	}
	if err := p.verify(archive); err != nil {
		return nil, err
	}
	script, err := extract(archive)
	if err != nil {
		return nil, err
	}
	script = append(script, "\nprocess.stdout.write(JSON.stringify(exports.EcsFlat));\n"...)
	return run(ctx, dir, script, "node", "-")
}

func run(ctx context.Context, dir string, stdin []byte, command ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, stderr.Bytes())
	}
	return out, nil
}

func (p pin) verify(archive []byte) error {
	sum := sha512.Sum512(archive)
	if have := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); have != p.integrity {
		return fmt.Errorf("%s@%s has the digest %s, pinned in %s is %s", source, p.version, have, pins, p.integrity)
	}
	return nil
}

func extract(archive []byte) ([]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", module, err)
		}
		if header.Name == module {
			return io.ReadAll(files)
		}
	}
}
