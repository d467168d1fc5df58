// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package telemetry is what the component counts of itself. One table of
// figures makes the documents of the metrics stream, the fields of the
// integration package, the page docs/metrics.md, and what Prometheus reads.
//
// Counters begin at 0 each time that the programs are loaded into the kernel,
// those of the queue and of the process with the process; only what is in the
// spool is remembered beyond.
package telemetry

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/elastic/cloud-defend/pkg/pipeline"
	"github.com/elastic/cloud-defend/pkg/queue"
)

// Sample is the state of the component at one moment.
type Sample struct {
	Pipeline pipeline.Status
	Queue    queue.Stats
	// Withheld counts documents of streams that the user disabled.
	Withheld uint64
	Process  Process
}

// Process is what the component costs.
type Process struct {
	RSS uint64 // bytes of memory
	CPU uint64 // nanoseconds, of user and kernel; without BPF programs
}

// Kind says how a figure moves.
type Kind string

// The kinds, in Elasticsearch's words.
const (
	Counter Kind = "counter"
	Gauge   Kind = "gauge"
)

// Unit is what a figure counts, in Elasticsearch's words; empty for things.
type Unit string

// The units.
const (
	Bytes Unit = "byte"
	Nanos Unit = "nanos"
)

// Figure is one number of the component.
type Figure struct {
	// Field is its name in documents, below cloud_defend.metrics.
	Field string
	// Metric is its name for Prometheus, behind "cloud_defend_". Figures of
	// one name differ by their labels. Empty where others have it in sum.
	Metric string
	Labels []Label
	Kind   Kind
	Unit   Unit
	Help   string

	read func(*Sample) uint64
	// known is nil where the figure always is.
	known func(*Sample) bool
}

// Label is one of Prometheus's.
type Label struct{ Name, Value string }

// Values are the figures that are known, by their fields.
func (s *Sample) Values() map[string]uint64 {
	values := map[string]uint64{}
	for _, f := range Figures() {
		if f.known == nil || f.known(s) {
			values[f.Field] = f.read(s)
		}
	}
	return values
}

// Measure reads what this process costs. What cannot be read is 0.
func Measure() Process {
	var p Process
	if n, err := residentPages(); err == nil {
		p.RSS = n * uint64(os.Getpagesize())
	}
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) == nil {
		p.CPU = uint64(use.Utime.Nano() + use.Stime.Nano())
	}
	return p
}

// residentPages is the second number of statm (proc(5)). It is our own /proc,
// whatever the host's is.
func residentPages() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	numbers := bytes.Fields(text)
	if len(numbers) < 2 {
		return 0, fmt.Errorf("%q has no second number", text)
	}
	return strconv.ParseUint(string(numbers[1]), 10, 64)
}
