// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package ecs

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// encoder appends JSON. Members are written with a comma behind them, which
// the end of the object takes back; objects and members without content vanish.
//
// While the collector marks, it wants to know of every pointer that is stored,
// and x = append(x, text...) stores x's own, as x = f(x) does. That was a tenth
// of what a document took. What is written often is written to what room returns.
type encoder struct {
	buf []byte
	at  []int // where in buf the open objects begin, by their keys
	// escaped lists the fields, by their whole names, that were not UTF-8.
	escaped []string
	stamps  [64]stamp // by the last bits of their second
}

// stamp is a time as it is written, with the comma.
type stamp struct {
	second     int64
	nanosecond int
	text       []byte
}

func (e *encoder) reset() {
	e.buf, e.at, e.escaped = append(e.buf[:0], '{'), e.at[:0], e.escaped[:0]
}

// room makes the document longer, and returns what is to be written to.
func (e *encoder) room(n int) []byte {
	end := len(e.buf)
	if cap(e.buf)-end < n {
		e.buf = slices.Grow(e.buf, n)
	}
	e.buf = e.buf[:end+n]
	return e.buf[end:]
}

func (e *encoder) put(text string) { copy(e.room(len(text)), text) }

// raw writes members that were encoded before, with their last comma.
func (e *encoder) raw(members []byte) { copy(e.room(len(members)), members) }

// finish closes the document.
func (e *encoder) finish() { e.end('}') }

// open begins an object. Its result is for close.
func (e *encoder) open(name string) int {
	mark := len(e.buf)
	e.at = append(e.at, mark)
	e.key(name)
	e.buf = append(e.buf, '{')
	return mark
}

// close ends the object that open returned mark for.
func (e *encoder) close(mark int) {
	e.at = e.at[:len(e.at)-1]
	if e.buf[len(e.buf)-1] == '{' {
		e.buf = e.buf[:mark]
		return
	}
	e.end('}')
	e.buf = append(e.buf, ',')
}

// end writes what ends an object or a list, in place of the last comma.
func (e *encoder) end(with byte) {
	if last := len(e.buf) - 1; e.buf[last] == ',' {
		e.buf[last] = with
		return
	}
	e.buf = append(e.buf, with)
}

// key writes a name of ours, which needs no escaping.
func (e *encoder) key(name string) {
	to := e.room(len(name) + len(`"":`))
	to[0] = '"'
	copy(to[copy(to[1:], name)+1:], `":`)
}

func (e *encoder) str(name, value string) {
	if value == "" {
		return
	}
	e.key(name)
	e.value(name, value)
	e.buf = append(e.buf, ',')
}

func (e *encoder) bytes(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	e.key(name)
	var utf bool
	e.buf, utf = appendString(e.buf, value)
	e.note(name, utf)
	e.buf = append(e.buf, ',')
}

// strs writes a list. Empty members stay: an empty argument is an argument.
func (e *encoder) strs(name string, values []string) {
	if len(values) == 0 {
		return
	}
	e.key(name)
	valid := allUTF8(values)
	sep := byte('[')
	for _, v := range values {
		e.buf = append(e.buf, sep, '"')
		e.escape(v, valid)
		e.buf = append(e.buf, '"')
		sep = ','
	}
	e.buf = append(e.buf, ']', ',')
	e.note(name, valid)
}

// one writes a list of one member.
func (e *encoder) one(name, value string) {
	if value == "" {
		return
	}
	e.key(name)
	e.buf = append(e.buf, '[')
	e.value(name, value)
	e.buf = append(e.buf, ']', ',')
}

// joined writes the members of a list as one string, with spaces between.
func (e *encoder) joined(name string, values []string) {
	if len(values) == 0 {
		return
	}
	e.key(name)
	valid := allUTF8(values)
	e.buf = append(e.buf, '"')
	for i, v := range values {
		if i > 0 {
			e.buf = append(e.buf, ' ')
		}
		e.escape(v, valid)
	}
	e.buf = append(e.buf, '"', ',')
	e.note(name, valid)
}

func (e *encoder) value(name, value string) {
	if allPlain(value) {
		to := e.room(len(value) + len(`""`))
		to[0], to[len(value)+1] = '"', '"'
		copy(to[1:], value)
		return
	}
	var valid bool
	e.buf, valid = appendString(e.buf, value)
	e.note(name, valid)
}

// escape writes what stands between the quotes; see appendString.
func (e *encoder) escape(value string, valid bool) {
	if allPlain(value) {
		e.put(value)
		return
	}
	e.buf = appendEscaped(e.buf, value, valid)
}

// note lists a field that was not UTF-8.
func (e *encoder) note(name string, valid bool) {
	if valid {
		return
	}
	if full := e.field(name); !slices.Contains(e.escaped, full) {
		e.escaped = append(e.escaped, full)
	}
}

// field is the whole name of a member of the innermost open object.
func (e *encoder) field(name string) string {
	if len(e.at) == 0 {
		return name
	}
	var full []byte
	for _, at := range e.at {
		object, _, _ := bytes.Cut(e.buf[at+1:], []byte{'"'})
		full = append(append(full, object...), '.')
	}
	return string(append(full, name...))
}

func (e *encoder) uint(name string, value uint64) {
	e.key(name)
	e.digits(value)
	e.buf = append(e.buf, ',')
}

func (e *encoder) digits(value uint64) {
	const most = 20
	end := len(e.buf)
	digits := strconv.AppendUint(e.room(most)[:0], value, 10)
	e.buf = e.buf[:end+len(digits)]
}

func (e *encoder) int(name string, value int64) {
	e.key(name)
	e.buf = append(strconv.AppendInt(e.buf, value, 10), ',')
}

// decimal writes a number as a string: ECS ids are keywords.
func (e *encoder) decimal(name string, value uint64) {
	e.key(name)
	e.buf = append(e.buf, '"')
	e.digits(value)
	e.buf = append(e.buf, '"', ',')
}

func (e *encoder) bool(name string, value bool) {
	e.key(name)
	e.put(strconv.FormatBool(value))
	e.buf = append(e.buf, ',')
}

// json writes a tree of maps and numbers.
func (e *encoder) json(name string, tree map[string]any) {
	text, err := json.Marshal(tree) // keys in order
	if err != nil {
		panic(err) // such a tree always can be written
	}
	e.key(name)
	e.buf = append(append(e.buf, text...), ',')
}

// time writes nanoseconds: documents of one node sort as their events happened.
func (e *encoder) time(name string, value time.Time) {
	e.key(name)
	second, nanosecond := value.Unix(), value.Nanosecond()
	s := &e.stamps[uint64(second)%uint64(len(e.stamps))]
	if second != s.second || s.text == nil {
		s.second, s.nanosecond, s.text = second, nanosecond, value.UTC().AppendFormat(s.text[:0], `"2006-01-02T15:04:05.000000000Z",`)
	}
	if nanosecond != s.nanosecond {
		s.nanosecond = nanosecond
		digits := s.text[len(`"2006-01-02T15:04:05.`):][:9]
		for i, rest := len(digits)-1, uint32(nanosecond); i >= 0; i-- {
			digits[i] = '0' + byte(rest%10)
			rest /= 10
		}
	}
	e.raw(s.text)
}

// appendString appends a JSON string. If the text is not UTF-8 it is written as
// the package comment says of cloud_defend.escaped, and the result is false.
func appendString[T string | []byte](b []byte, s T) ([]byte, bool) {
	if allPlain(s) {
		return append(append(append(b, '"'), s...), '"'), true
	}
	valid := validUTF8(s)
	b = append(b, '"')
	b = appendEscaped(b, s, valid)
	return append(b, '"'), valid
}

const hexDigits = "0123456789abcdef"

// plain tells the bytes that stand for themselves in a JSON string.
var plain = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\'
	}
	return plain
}()

// allPlain looks at eight bytes at a time, as nearly all text is plain.
func allPlain[T string | []byte](s T) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quotes, slashes := w^ones*'"', w^ones*'\\'
		// The top bit of a byte is set where it was, or a borrow sets it.
		if (w|(w-ones*0x20)|(quotes-ones)|(slashes-ones))&tops != 0 {
			return false
		}
	}
	for ; i < len(s); i++ {
		if !plain[s[i]] {
			return false
		}
	}
	return true
}

func appendEscaped[T string | []byte](b []byte, s T, valid bool) []byte {
	done := 0 // everything before is written
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] || c >= utf8.RuneSelf && valid {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			if size = runeLen(s[i:]); size > 0 {
				i += size
				continue
			}
			size = 1
		}
		b = append(b, s[done:i]...)
		b = appendSpecial(b, c, valid)
		i += size
		done = i
	}
	return append(b, s[done:]...)
}

// appendSpecial appends a byte that cannot stand for itself.
func appendSpecial(b []byte, c byte, valid bool) []byte {
	switch {
	case c >= utf8.RuneSelf:
		return append(b, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
	case c == '\\' && !valid:
		return append(b, `\\\\`...)
	case c == '"' || c == '\\':
		return append(b, '\\', c)
	case c == '\n':
		return append(b, '\\', 'n')
	case c == '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// runeLen is the length of the encoded rune that s begins with, 0 if it is none.
func runeLen[T string | []byte](s T) int {
	r, size := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
	if r == utf8.RuneError && size == 1 {
		return 0
	}
	return size
}

// allUTF8 decides for a whole list: what is true of a field is true of all in it.
func allUTF8(values []string) bool {
	for _, v := range values {
		if !validUTF8(v) {
			return false
		}
	}
	return true
}

func validUTF8[T string | []byte](s T) bool {
	if allPlain(s) {
		return true
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return utf8.ValidString(string(s))
		}
	}
	return true
}
