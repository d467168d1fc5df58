// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package telemetry

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// headerTime bounds how long a client may take to ask.
const headerTime = 5 * time.Second

// Server answers Prometheus on an address of this node.
type Server struct {
	http     http.Server
	listener net.Listener
	done     chan struct{}
}

// Listen serves /metrics until Close. sample is called for each request, from
// goroutines of the server's own.
func Listen(address string, sample func() Sample) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve Prometheus metrics: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{sample})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2}))
	s := &Server{listener: listener, done: make(chan struct{})}
	s.http.Handler, s.http.ReadHeaderTimeout = mux, headerTime
	go func() { // ends with Close
		defer close(s.done)
		s.http.Serve(listener) //nolint:errcheck // it ends with an error always
	}()
	return s, nil
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Close ends all connections.
func (s *Server) Close() {
	s.http.Close() //nolint:errcheck // nobody can do anything about it
	<-s.done
}

// collector reads all figures from one sample for each request.
type collector struct{ sample func() Sample }

// Describe describes nothing: the figures are checked when they are collected.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect is called concurrently.
func (c collector) Collect(to chan<- prometheus.Metric) {
	sample := c.sample()
	for _, f := range Figures() {
		if f.Metric == "" || f.known != nil && !f.known(&sample) {
			continue
		}
		to <- prometheus.MustNewConstMetric(f.description(), f.valueType(), f.scaled(f.read(&sample)), f.labelValues()...)
	}
}

func (f *Figure) description() *prometheus.Desc {
	var names []string
	for _, l := range f.Labels {
		names = append(names, l.Name)
	}
	return prometheus.NewDesc("cloud_defend_"+f.Metric, f.Help, names, nil)
}

func (f *Figure) labelValues() []string {
	var values []string
	for _, l := range f.Labels {
		values = append(values, l.Value)
	}
	return values
}

func (f *Figure) valueType() prometheus.ValueType {
	if f.Kind == Counter {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// scaled is in Prometheus's units: seconds and bytes.
func (f *Figure) scaled(n uint64) float64 {
	if f.Unit == Nanos {
		return float64(n) / 1e9
	}
	return float64(n)
}
