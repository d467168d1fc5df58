// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package image writes container images from the files of this machine, in the archive format of "docker save", which
// every runtime imports. No registry is asked for anything.
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// File is one file, folder or symbolic link of an image.
type File struct {
	// Mode has the type and the permissions, as in fs.FileMode.
	Mode fs.FileMode
	// Content is that of a regular file, or the target of a symbolic link.
	Content []byte
	// SameAs is the absolute path of the file that this is one more name of; the rest is then that file's.
	SameAs string
}

// Image is a root file system of one layer and the names that it goes by.
type Image struct {
	// Names are complete references, such as "docker.io/library/web:1.0".
	Names []string
	// Command is what a container runs when it is told nothing else, and Entrypoint what always comes before it.
	Command, Entrypoint []string
	// Files maps absolute paths to what is there. Folders above a file need not be named.
	Files map[string]File
}

// Write writes the images as one archive. The same images give the same bytes.
func Write(w io.Writer, images ...Image) error {
	archive := tar.NewWriter(w)
	var manifest []entry
	written := map[string]bool{}
	for _, img := range images {
		layer, err := img.layer()
		if err != nil {
			return fmt.Errorf("make image %s: %w", strings.Join(img.Names, ", "), err)
		}
		config, err := json.Marshal(img.config(layer))
		if err != nil {
			return err
		}
		e := entry{Config: digest(config) + ".json", RepoTags: img.Names, Layers: []string{digest(layer) + "/layer.tar"}}
		manifest = append(manifest, e)
		for _, part := range []struct {
			name    string
			content []byte
		}{{e.Config, config}, {e.Layers[0], layer}} {
			if written[part.name] {
				continue
			}
			written[part.name] = true
			if err := put(archive, part.name, File{Mode: 0o644, Content: part.content}); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := put(archive, "manifest.json", File{Mode: 0o644, Content: text}); err != nil {
		return err
	}
	return archive.Close()
}

// entry is one image of manifest.json.
type entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// config is the part of an image's configuration that runtimes read; its keys are those of the OCI image specification.
type config struct {
	Architecture string        `json:"architecture"`
	OS           string        `json:"os"`
	Config       runtimeConfig `json:"config"`
	RootFS       rootFS        `json:"rootfs"`
}

type runtimeConfig struct {
	Env        []string
	Cmd        []string
	Entrypoint []string `json:",omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

func (img Image) config(layer []byte) config {
	return config{
		Architecture: "amd64",
		OS:           "linux",
		Config:       runtimeConfig{Env: []string{"PATH=/usr/bin:/bin"}, Cmd: img.Command, Entrypoint: img.Entrypoint},
		RootFS:       rootFS{Type: "layers", DiffIDs: []string{"sha256:" + digest(layer)}},
	}
}

func (img Image) layer() ([]byte, error) {
	files := map[string]File{}
	for name, f := range img.Files {
		name = path.Clean(name)
		files[name] = f
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			if _, named := img.Files[dir]; !named {
				files[dir] = File{Mode: fs.ModeDir | 0o755}
			}
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		// a folder sorts before what is in it, and a file comes before its other names
		return cmp.Or(cmp.Compare(files[a].SameAs, files[b].SameAs), cmp.Compare(a, b))
	})
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, name := range names {
		f := files[name]
		if f.SameAs != "" {
			f.Mode = files[f.SameAs].Mode // which unpacking sets once more
		}
		if err := put(w, name[1:], f); err != nil {
			return nil, err
		}
	}
	return layer.Bytes(), w.Close()
}

func put(w *tar.Writer, name string, f File) error {
	h := &tar.Header{Name: name, Mode: int64(f.Mode.Perm()), Typeflag: tar.TypeReg, Size: int64(len(f.Content))}
	switch {
	case f.SameAs != "":
		h.Typeflag, h.Linkname = tar.TypeLink, f.SameAs[1:]
	case f.Mode.IsDir():
		h.Typeflag, h.Size, h.Name = tar.TypeDir, 0, name+"/"
	case f.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Size, h.Linkname = tar.TypeSymlink, 0, string(f.Content)
	}
	if f.Mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if h.Size == 0 {
		return nil
	}
	_, err := w.Write(f.Content)
	return err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Program reads a program of this machine to be put into an image.
func Program(at string) (File, error) {
	content, err := os.ReadFile(at)
	return File{Mode: 0o755, Content: content}, err
}

// Text is an ordinary file that everyone may read.
func Text(content string) File { return File{Mode: 0o644, Content: []byte(content)} }
