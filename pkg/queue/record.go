// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A record of the spool is one or more documents of consecutive numbers:
//
//	format u8 | first number uvarint | {index, id, document}, each with its length before it
//
// Many in one record compress several times better than each alone.
const (
	recordFormat = 1
	// recordDocs and recordBytes bound a record: it is what one damaged byte costs.
	recordDocs  = 64
	recordBytes = 256 << 10
)

func appendRecord(b []byte, first uint64, docs []Doc) []byte {
	b = binary.AppendUvarint(append(b, recordFormat), first)
	for i := range docs {
		b = appendBytes(b, docs[i].Index)
		b = appendBytes(b, docs[i].ID)
		b = appendBytes(b, docs[i].JSON)
	}
	return b
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errRecord = errors.New("malformed record")

// decodeRecord calls take with each document and its number. What it gives
// shares the record's memory.
func decodeRecord(rec []byte, take func(seq uint64, index, id, json []byte)) error {
	if len(rec) == 0 || rec[0] != recordFormat {
		return fmt.Errorf("%w: unknown format", errRecord)
	}
	v := varints{b: rec[1:]}
	seq := v.next()
	for len(v.b) > 0 {
		index, id, json := v.bytes(), v.bytes(), v.bytes()
		if v.bad {
			break
		}
		take(seq, index, id, json)
		seq++
	}
	if v.bad || seq == 0 {
		return errRecord
	}
	return nil
}
