// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	mit    = "Permission is hereby granted, free of charge, to any\n person obtaining a copy of this"
	apache = "Apache License\n   Version 2.0, January 2004\n"
	bsd2   = "Redistribution and use in source\nand binary forms, with or without"
	bsd3   = bsd2 + "\nmay be used to endorse or promote\nproducts derived"
)

func TestClassify(t *testing.T) {
	for content, want := range map[string][]string{
		mit:                                      {"MIT"},
		apache:                                   {"Apache-2.0"},
		bsd2:                                     {"BSD-2-Clause"},
		bsd3:                                     {"BSD-3-Clause"},
		mit + apache:                             {"Apache-2.0", "MIT"},
		mit + bsd2:                               {"MIT", "BSD-2-Clause"},
		"Mozilla Public License Version 2.0":     {"MPL-2.0"},
		"ELASTIC LICENSE AGREEMENT\n\n" + apache: {"LicenseRef-Elastic-License-1.0"},
		"Elastic License 2.0\n\nURL: x":          {"Elastic-2.0"},
	} {
		got, err := classify(content)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, content := range []string{"", "All rights reserved.", mit + "GNU LESSER GENERAL PUBLIC LICENSE", "GNU GENERAL\nPUBLIC LICENSE"} {
		_, err := classify(content)
		require.Error(t, err, content)
	}
}

// A licence beside a package holds for it in addition to its module's.
func TestAddTexts(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a module")
	write(t, root, map[string]string{
		"LICENSE": apache, "NOTICE.txt": "thanks", "license.go": "package a", "LICENSE.docs": "CC", "sub/copying.MIT": mit, "sub/deep/a.go": "", "other/LICENSE": bsd2,
	})
	texts, err := addTexts(nil, root, filepath.Join(root, "sub", "deep"))
	require.NoError(t, err)
	texts, err = addTexts(texts, root, root)
	require.NoError(t, err)
	require.Equal(t, []text{
		{"LICENSE", apache, []string{"Apache-2.0"}}, {"NOTICE.txt", "thanks", nil}, {"sub/copying.MIT", mit, []string{"MIT"}},
	}, texts)

	write(t, root, map[string]string{"LICENSE": "ask us"})
	_, err = addTexts(nil, root, root)
	require.ErrorContains(t, err, "LICENSE: holds none of the licences")
}

func TestCheckedRefusesModuleWithoutLicence(t *testing.T) {
	_, err := checked(map[string]module{"example.com/a": {path: "example.com/a", version: "v1", texts: []text{{"NOTICE", "", nil}}}})
	require.ErrorContains(t, err, "example.com/a v1: no licence file")
}

// A library stands in for the binary. What only its tests import is not linked.
func TestLinked(t *testing.T) {
	modules, err := linked(t.Context(), "github.com/cilium/ebpf")
	require.NoError(t, err)
	paths := []string{}
	for _, m := range modules {
		paths = append(paths, m.path)
	}
	require.Equal(t, []string{"github.com/cilium/ebpf", "golang.org/x/sys"}, paths)
	require.Equal(t, []string{"MIT"}, modules[0].kinds())
	require.Equal(t, []string{"BSD-3-Clause"}, modules[1].kinds())

	_, err = linked(t.Context(), "./absent")
	require.ErrorContains(t, err, "list what ./absent links")
}

func TestCompareNamesWhatDiffers(t *testing.T) {
	a := module{"example.com/a", "v1", []text{{"LICENSE", mit, []string{"MIT"}}}}
	b := module{"example.com/b", "v2", []text{{"LICENSE", "  " + bsd2 + "  \r\n\n", []string{"BSD-2-Clause"}}}}
	require.NoError(t, compare(render([]module{a, b}), render([]module{a, b})))
	err := compare(render([]module{a}), render([]module{b}))
	require.ErrorContains(t, err, "(linked and not listed: [example.com/b v2]; listed and not linked: [example.com/a v1])")
	require.ErrorContains(t, compare(render([]module{a})+"x", render([]module{a})), "go run ./testing/notice")
	require.NotRegexp(t, `[ \t\r]\n`, render([]module{a, b}))
}

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
}
