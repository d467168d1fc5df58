// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settings

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// misuse is what is wrong with the text of a value: "is ...", and what to write.
type misuse struct {
	problem, remedy string
}

// Bytes is a size. It is written with a unit: 512MiB, 2GB, or as a number of
// bytes.
type Bytes uint64

var units = []struct {
	name string
	size Bytes
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

func parseBytes(text string) (Bytes, *misuse) {
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
		if err != nil || n > math.MaxUint64/uint64(u.size) {
			break
		}
		return Bytes(n) * u.size, nil
	}
	return 0, &misuse{"is not a size", "write a number and a unit, such as 512MiB"}
}

func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; b >= u.size && b%u.size == 0 {
			return strconv.FormatUint(uint64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(b), 10)
}

// set reads text into the setting's field, or leaves it.
func (s *Setting) set(v *Values, text string) *misuse {
	if s.check != nil {
		if bad := s.check(text); bad != nil {
			return bad
		}
	}
	switch field := s.field(v).(type) {
	case *bool:
		return setBool(field, text)
	case *string:
		*field = text
		return nil
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return &misuse{"is not a duration", "write a number and a unit, such as 500ms or 2s"}
		}
		*field = d
		return nil
	case *Bytes:
		size, bad := parseBytes(text)
		if bad == nil {
			*field = size
		}
		return bad
	}
	panic("settings: " + s.Key + " has a type that nothing reads")
}

func setBool(field *bool, text string) *misuse {
	switch strings.ToLower(text) {
	case "true":
		*field = true
	case "false":
		*field = false
	default:
		return &misuse{"is neither true nor false", "write one of them"}
	}
	return nil
}

// text is the setting's value as a user would write it.
func (s *Setting) text(v *Values) string {
	switch field := s.field(v).(type) {
	case *bool:
		return strconv.FormatBool(*field)
	case *string:
		return *field
	case fmt.Stringer:
		return field.String()
	}
	panic("settings: " + s.Key + " has a type that nothing prints")
}

// kind names the setting's type for a user.
func (s *Setting) kind() string {
	switch s.field(&Values{}).(type) {
	case *bool:
		return "bool"
	case *time.Duration:
		return "duration"
	case *Bytes:
		return "size"
	}
	return "text"
}

func absolute(text string) *misuse {
	if !filepath.IsAbs(text) {
		return &misuse{"is not an absolute path", "begin it with /"}
	}
	return nil
}

func absoluteOrNone(text string) *misuse {
	if text == "" {
		return nil
	}
	return absolute(text)
}

func atMost(most time.Duration) func(string) *misuse {
	return func(text string) *misuse {
		if d, err := time.ParseDuration(text); err == nil && (d < 0 || d > most) {
			return &misuse{fmt.Sprintf("is not between 0s and %v", most), "write a duration in these bounds"}
		}
		return nil
	}
}

// loopback accepts only addresses that nobody else on the network can reach.
func loopback(text string) *misuse {
	if text == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(text)
	if err != nil {
		return &misuse{"is not an address and a port", "write one such as 127.0.0.1:9273"}
	}
	if address, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !address.IsLoopback()) {
		return &misuse{"can be reached from other machines", "write a loopback address such as 127.0.0.1:9273"}
	}
	return nil
}
