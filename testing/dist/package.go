// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package dist

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"github.com/elastic/cloud-defend/testing/ecsfields"
)

// Package zips the integration package the way a package registry and Kibana want it, and returns the zip's path.
func Package(root, to string) (string, error) {
	from := filepath.Join(root, "package", "cloud_defend")
	var manifest struct{ Name, Version string }
	text, err := os.ReadFile(filepath.Join(from, "manifest.yml"))
	if err == nil {
		err = yaml.Unmarshal(text, &manifest)
	}
	if err != nil {
		return "", err
	}
	ecs, err := ecsfields.Load(root)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-%s", manifest.Name, manifest.Version)
	to = filepath.Join(to, name+".zip")
	return to, writeZip(to, name, os.DirFS(from), ecs)
}

// writeZip leaves out what only development needs.
func writeZip(to, name string, from fs.FS, ecs ecsfields.Table) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	archive := zip.NewWriter(out)
	defer func() { err = errors.Join(err, archive.Close(), out.Close()) }()
	return fs.WalkDir(from, ".", func(inside string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "_dev":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		content, err := delivered(from, inside, ecs)
		if err != nil {
			return fmt.Errorf("%s: %w", inside, err)
		}
		w, err := archive.CreateHeader(&zip.FileHeader{Name: path.Join(name, inside), Method: zip.Deflate})
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
}

// delivered is what a file of the package becomes.
func delivered(from fs.FS, inside string, ecs ecsfields.Table) ([]byte, error) {
	content, err := fs.ReadFile(from, inside)
	switch {
	case err != nil:
		return nil, err
	case ecsfields.IsFields(inside):
		return ecs.Resolve(content)
	case isSavedObject(inside):
		return savedObject(content)
	}
	return content, nil
}
