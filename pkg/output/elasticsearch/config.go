// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/httpcommon"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"
)

// Config is an output's settings, as Fleet and standalone policies have them.
type Config struct {
	Hosts     []*url.URL // one at least
	APIKey    string     // encoded; empty without one
	Username  string
	Password  string
	Headers   map[string]string
	Query     url.Values // the parameters setting
	Transport httpcommon.HTTPTransportSettings
	// LoadBalance uses all hosts at once, else the next one when one fails.
	LoadBalance bool
	Workers     int // for each host
	BulkDocs    int
	Gzip        int // the level; 0 sends plain text
	BackoffInit time.Duration
	BackoffMax  time.Duration
	// Logs wait for FlushDocs of them, at most for FlushTimeout.
	FlushDocs    int
	FlushTimeout time.Duration
}

// settings are the keys of the output's policy with their defaults.
type settings struct {
	Hosts            []string          `config:"hosts"`
	Protocol         string            `config:"protocol"`
	Path             string            `config:"path"`
	Parameters       map[string]string `config:"parameters"`
	APIKey           string            `config:"api_key"`
	Username         string            `config:"username"`
	Password         string            `config:"password"`
	Headers          map[string]string `config:"headers"`
	LoadBalance      bool              `config:"loadbalance"`
	Worker           int               `config:"worker"`
	Workers          int               `config:"workers"`
	BulkMaxSize      int               `config:"bulk_max_size"`
	CompressionLevel int               `config:"compression_level" validate:"min=0, max=9"`
	Preset           string            `config:"preset"`
	Backoff          struct {
		Init time.Duration `config:"init" validate:"nonzero, min=0"`
		Max  time.Duration `config:"max" validate:"nonzero, min=0"`
	} `config:"backoff"`
	Queue struct {
		Mem struct {
			Flush struct {
				MinEvents int           `config:"min_events"`
				Timeout   time.Duration `config:"timeout"`
			} `config:"flush"`
		} `config:"mem"`
	} `config:"queue"`
}

func defaults() settings {
	s := settings{LoadBalance: true, Worker: 1, BulkMaxSize: 1600, CompressionLevel: 1}
	s.Backoff.Init, s.Backoff.Max = time.Second, time.Minute
	s.Queue.Mem.Flush.MinEvents, s.Queue.Mem.Flush.Timeout = 1600, 10*time.Second
	return s
}

// preset overrides the settings beside it, also those that are set by hand.
type preset struct {
	bulk, workers, minEvents int
	flush, idle              time.Duration
}

var presets = map[string]preset{
	"balanced":   {1600, 1, 1600, 10 * time.Second, 3 * time.Second},
	"throughput": {1600, 4, 1600, 5 * time.Second, 15 * time.Second},
	"scale":      {1600, 1, 1600, 20 * time.Second, time.Second},
	"latency":    {50, 1, 2050, time.Second, 60 * time.Second},
}

// Parse reads the settings of an output unit. Keys may be nested or joined by
// dots; unknown ones are ignored, because Fleet sends some that concern others.
// The error names the setting.
func Parse(source map[string]any) (Config, error) {
	c, err := config.NewConfigFrom(source)
	if err != nil {
		return Config{}, fmt.Errorf("read the output's settings: %w", err)
	}
	s, transport := defaults(), httpcommon.DefaultHTTPTransportSettings()
	transport.IdleConnTimeout = 3 * time.Second
	if err := c.Unpack(&s); err != nil {
		return Config{}, fmt.Errorf("read the output's settings: %w", err)
	}
	if err := c.Unpack(&transport); err != nil {
		return Config{}, fmt.Errorf("read the output's settings: %s%w", place(c), err)
	}
	s.Worker = max(s.Worker, s.Workers)
	if err := s.apply(&transport); err != nil {
		return Config{}, err
	}
	return s.config(transport)
}

// place names the group of settings in which a fault of the transport is. What
// their files and addresses are wrong with does not say it by itself.
func place(c *config.C) string {
	ssl := struct {
		TLS *tlscommon.Config `config:"ssl"`
	}{}
	proxy := httpcommon.DefaultHTTPClientProxySettings()
	if c.Unpack(&proxy) != nil {
		return "proxy_url: "
	}
	if c.Unpack(&ssl) != nil {
		return "ssl: "
	}
	if _, err := tlscommon.LoadTLSConfig(ssl.TLS, logp.NewNopLogger()); err != nil {
		return "ssl: "
	}
	return ""
}

func (s *settings) apply(transport *httpcommon.HTTPTransportSettings) error {
	if s.Preset == "" || s.Preset == "custom" {
		return nil
	}
	p, ok := presets[s.Preset]
	if !ok {
		return fmt.Errorf("preset: %q is none of balanced, throughput, scale, latency and custom", s.Preset)
	}
	s.BulkMaxSize, s.Worker, s.CompressionLevel = p.bulk, p.workers, 1
	s.Queue.Mem.Flush.MinEvents, s.Queue.Mem.Flush.Timeout = p.minEvents, p.flush
	transport.IdleConnTimeout = p.idle
	return nil
}

func (s *settings) config(transport httpcommon.HTTPTransportSettings) (Config, error) {
	switch {
	case s.APIKey != "" && (s.Username != "" || s.Password != ""):
		return Config{}, errors.New("api_key: is set together with username or password; remove one of them")
	case s.BulkMaxSize < 1:
		return Config{}, fmt.Errorf("bulk_max_size: %d documents are too few; write at least 1", s.BulkMaxSize)
	case s.Worker < 1:
		return Config{}, fmt.Errorf("worker: %d are too few; write at least 1", s.Worker)
	case transport.Timeout <= 0:
		return Config{}, errors.New("timeout: must be longer than nothing; write for example 90s")
	}
	hosts, err := s.hosts(transport.TLS.IsEnabled() && transport.TLS != nil)
	if err != nil {
		return Config{}, err
	}
	query := url.Values{}
	for key, value := range s.Parameters {
		query.Set(key, value)
	}
	flush := s.Queue.Mem.Flush
	return Config{
		Hosts: hosts, APIKey: encodedKey(s.APIKey), Username: s.Username, Password: s.Password,
		Headers: s.Headers, Query: query, Transport: transport, LoadBalance: s.LoadBalance, Workers: s.Worker,
		BulkDocs: s.BulkMaxSize, Gzip: s.CompressionLevel, BackoffInit: s.Backoff.Init, BackoffMax: max(s.Backoff.Init, s.Backoff.Max),
		FlushDocs: min(max(flush.MinEvents, 1), s.BulkMaxSize), FlushTimeout: max(flush.Timeout, 0),
	}, nil
}

// encodedKey is an API key as the header has it. Fleet sends id:key; one that
// is encoded already stays.
func encodedKey(key string) string {
	if !strings.Contains(key, ":") {
		return key
	}
	return base64.StdEncoding.EncodeToString([]byte(key))
}

// hosts completes the addresses. One without a scheme is spoken to in TLS where
// ssl settings are given.
func (s *settings) hosts(tls bool) ([]*url.URL, error) {
	if len(s.Hosts) == 0 {
		return nil, errors.New("hosts: there is none; write for example https://elasticsearch:9200")
	}
	scheme := s.Protocol
	if scheme == "" {
		scheme = "http"
		if tls {
			scheme = "https"
		}
	}
	var out []*url.URL
	for i, host := range s.Hosts {
		u, err := s.host(scheme, host)
		if err != nil {
			return nil, fmt.Errorf("hosts[%d]: %w", i, err)
		}
		if !slices.ContainsFunc(out, func(o *url.URL) bool { return *o == *u }) {
			out = append(out, u)
		}
	}
	return out, nil
}

func (s *settings) host(scheme, host string) (*url.URL, error) {
	if !strings.Contains(host, "://") {
		host = scheme + "://" + host
	}
	u, err := url.Parse(host)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err // its text would show a password in the address
		}
		return nil, fmt.Errorf("is not an address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not http or https", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("names no host")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "9200")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = s.Path
	}
	if u.User != nil && s.Username == "" && s.APIKey == "" {
		s.Username = u.User.Username()
		s.Password, _ = u.User.Password()
	}
	u.User = nil
	return u, nil
}
