// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package dist

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"os"
	"path"
	"time"
)

// writeTar writes files in the given order, with the folders above each before it.
func writeTar(to string, when time.Time, files []file) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	zipped := gzip.NewWriter(out)
	archive := tar.NewWriter(zipped)
	defer func() { err = errors.Join(err, archive.Close(), zipped.Close(), out.Close()) }()
	written := map[string]bool{".": true}
	var folder func(name string) error
	folder = func(name string) error {
		if written[name] {
			return nil
		}
		if err := folder(path.Dir(name)); err != nil {
			return err
		}
		written[name] = true
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: when})
	}
	for _, f := range files {
		if err := folder(path.Dir(f.name)); err != nil {
			return err
		}
		if err := addTo(archive, f, when); err != nil {
			return err
		}
	}
	return nil
}

func addTo(archive *tar.Writer, f file, when time.Time) error {
	content, err := os.ReadFile(f.from)
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode), Size: int64(len(content)), ModTime: when}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = archive.Write(content)
	return err
}
