// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// permitted are the licences we may link, by the words that only their texts
// have. A text may hold several.
var permitted = []struct {
	kind  string
	words *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`Apache License,? Version 2\.0`)},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge, to any person obtaining a copy`)},
	{"ISC", regexp.MustCompile(`Permission to use, copy, modify, (and/or|and) distribute this software for any purpose with or without fee`)},
	{"BSD-3-Clause", regexp.MustCompile(`Redistribution and use in source and binary forms.* endorse or promote products`)},
	{"MPL-2.0", regexp.MustCompile(`Mozilla Public License,? [Vv]ersion 2\.0`)},
}

// elastic begins the licences of Elastic's clients for the control protocol of
// Elastic Agent and for its shipper. The first names other licences that it does
// not grant.
var elastic = map[string]string{
	"ELASTIC LICENSE AGREEMENT": "LicenseRef-Elastic-License-1.0",
	"Elastic License 2.0":       "Elastic-2.0",
}

var (
	bsd      = regexp.MustCompile(`Redistribution and use in source and binary forms`)
	copyleft = regexp.MustCompile(`GNU( \w+)? GENERAL PUBLIC LICENSE`)
)

// classify names the licences of a text by their SPDX names. It fails for a
// text that it does not know or that asks for more than we can give.
func classify(content string) ([]string, error) {
	line := strings.Join(strings.Fields(content), " ")
	for beginning, kind := range elastic {
		if strings.HasPrefix(line, beginning) {
			return []string{kind}, nil
		}
	}
	if copyleft.MatchString(line) {
		return nil, errors.New("holds a licence that we cannot link: GPL")
	}
	var kinds []string
	for _, p := range permitted {
		if p.words.MatchString(line) {
			kinds = append(kinds, p.kind)
		}
	}
	if bsd.MatchString(line) && !slices.Contains(kinds, "BSD-3-Clause") {
		kinds = append(kinds, "BSD-2-Clause")
	}
	if len(kinds) == 0 {
		return nil, errors.New("holds none of the licences that we may link")
	}
	return kinds, nil
}
