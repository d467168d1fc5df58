// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/transport/httpcommon"
	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/queue"
)

func parse(t *testing.T, source map[string]any) Config {
	t.Helper()
	if source["hosts"] == nil {
		source["hosts"] = []any{"http://es:9200"}
	}
	c, err := Parse(source)
	require.NoError(t, err)
	return c
}

func TestDefaultsAndPresets(t *testing.T) {
	type figures struct {
		bulk, workers, gzip, docs int
		flush, idle               time.Duration
	}
	of := func(c Config) figures {
		return figures{c.BulkDocs, c.Workers, c.Gzip, c.FlushDocs, c.FlushTimeout, c.Transport.IdleConnTimeout}
	}
	byHand := map[string]any{
		"bulk_max_size": 77.0, "worker": 9.0, "compression_level": 5.0, "idle_connection_timeout": "7s",
		"queue.mem.flush.min_events": 33.0, "queue": map[string]any{"mem": map[string]any{"flush": map[string]any{"timeout": "4s"}}},
	}
	for name, want := range map[string]figures{
		"":           {77, 9, 5, 33, 4 * time.Second, 7 * time.Second},
		"custom":     {77, 9, 5, 33, 4 * time.Second, 7 * time.Second},
		"balanced":   {1600, 1, 1, 1600, 10 * time.Second, 3 * time.Second},
		"throughput": {1600, 4, 1, 1600, 5 * time.Second, 15 * time.Second},
		"scale":      {1600, 1, 1, 1600, 20 * time.Second, time.Second},
		"latency":    {50, 1, 1, 50, time.Second, time.Minute},
	} {
		source := map[string]any{"preset": name}
		for key, value := range byHand {
			source[key] = value
		}
		require.Equal(t, want, of(parse(t, source)), name)
	}
	c := parse(t, map[string]any{})
	require.Equal(t, figures{1600, 1, 1, 1600, 10 * time.Second, 3 * time.Second}, of(c))
	require.Equal(t, 90*time.Second, c.Transport.Timeout)
	require.Equal(t, time.Second, c.BackoffInit)
	require.Equal(t, time.Minute, c.BackoffMax)
	require.True(t, c.LoadBalance)
}

// Each key of the settings stands in the page about outputs.
func TestSettingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/outputs.md")
	require.NoError(t, err)
	var keys []string
	var walk func(prefix string, s reflect.Type)
	walk = func(prefix string, s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("config"), ",")
			switch {
			case f.Type.Kind() == reflect.Struct && name == "":
				walk(prefix, f.Type)
			case f.Type.Kind() == reflect.Struct:
				walk(prefix+name+".", f.Type)
			case name != "" && name != "ssl":
				keys = append(keys, prefix+name)
			}
		}
	}
	walk("", reflect.TypeFor[settings]())
	walk("", reflect.TypeFor[httpcommon.HTTPTransportSettings]())
	require.Contains(t, keys, "queue.mem.flush.min_events")
	require.Contains(t, keys, "proxy_url")
	for _, key := range append(keys, "ssl.*") {
		require.Contains(t, string(page), "`"+key+"`")
	}
	for _, name := range slices.Sorted(maps.Keys(presets)) {
		require.Contains(t, string(page), "`"+name+"`")
	}
}

func TestHosts(t *testing.T) {
	for want, source := range map[string]map[string]any{
		"http://es:9200":           {"hosts": []any{"es"}},
		"http://es:9201":           {"hosts": "es:9201"},
		"https://es:9200":          {"hosts": []any{"es"}, "protocol": "https"},
		"https://es:443/a/b":       {"hosts": []any{"https://es:443/a/b"}, "path": "/c"},
		"https://es:9200/c":        {"hosts": []any{"https://es"}, "path": "/c"},
		"https://safe:9200":        {"hosts": []any{"safe"}, "ssl": map[string]any{"ca_trusted_fingerprint": strings.Repeat("ab", 32)}},
		"http://plain:9200":        {"hosts": []any{"plain"}, "ssl": map[string]any{"enabled": false}},
		"http://[::1]:9200":        {"hosts": []any{"http://[::1]"}},
		"http://b:9200 http://c:1": {"hosts": []any{"b", "c:1", "http://b:9200"}},
	} {
		var got []string
		for _, u := range parse(t, source).Hosts {
			got = append(got, u.String())
		}
		require.Equal(t, want, strings.Join(got, " "))
	}
	c := parse(t, map[string]any{"hosts": []any{"http://me:secret@es:1"}})
	require.Equal(t, []string{"me", "secret", "http://es:1"}, []string{c.Username, c.Password, c.Hosts[0].String()})
}

func TestAPIKeys(t *testing.T) {
	require.Equal(t, "aWQ6a2V5", parse(t, map[string]any{"api_key": "id:key"}).APIKey)
	require.Equal(t, "aWQ6a2V5", parse(t, map[string]any{"api_key": "aWQ6a2V5"}).APIKey)
}

func TestUnusableSettings(t *testing.T) {
	for want, source := range map[string]map[string]any{
		"hosts: there is none":        {"hosts": nil},
		"hosts[1]: names no host":     {"hosts": []any{"es", "http://"}},
		`hosts[0]: "ftp" is not http`: {"hosts": []any{"ftp://es"}},
		"hosts[0]: is not an address": {"hosts": []any{"http://me:secret@es:port"}},
		"api_key: is set together":    {"hosts": "es", "api_key": "a:b", "username": "c"},
		`preset: "fast" is none`:      {"hosts": "es", "preset": "fast"},
		"bulk_max_size: 0 documents":  {"hosts": "es", "bulk_max_size": 0.0},
		"compression_level":           {"hosts": "es", "compression_level": 12.0},
		"timeout":                     {"hosts": "es", "timeout": "0s"},
		"ssl: open /none/ca.pem":      {"hosts": "es", "ssl.certificate_authorities": []any{"/none/ca.pem"}},
		"verification_mode":           {"hosts": "es", "ssl.verification_mode": "some"},
		"backoff":                     {"hosts": "es", "backoff.init": "soon"},
		"proxy_url: parse":            {"hosts": "es", "proxy_url": "::"},
		"key file not configured":     {"hosts": "es", "ssl.certificate": "/none/cert.pem"},
	} {
		_, err := Parse(source)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestWhatRequestsCarry(t *testing.T) {
	c, s := newCluster(t)
	f := start(t, s.URL, map[string]any{
		"api_key": "id:key", "headers": map[string]any{"X-Custom": "one"}, "parameters": map[string]any{"pipeline": "p"}, "path": "/es",
	})
	f.push(t, docs(queue.Logs, 0, 1))
	f.drain(t)
	r := c.requests[0]
	require.Equal(t, "/es/_bulk", r.URL.Path)
	require.Equal(t, "p", r.URL.Query().Get("pipeline"))
	require.Contains(t, r.URL.Query().Get("filter_path"), "items.*.status")
	require.Equal(t, "APIKey aWQ6a2V5", r.Header.Get("Authorization"))
	require.Equal(t, "one", r.Header.Get("X-Custom"))
	require.Equal(t, "gzip", r.Header.Get("Content-Encoding"))
	require.Contains(t, r.Header.Get("User-Agent"), "Elastic-cloud-defend/1.2.3")

	f = start(t, s.URL, map[string]any{"username": "me", "password": "pass", "compression_level": 0})
	f.push(t, docs(queue.Logs, 1, 1))
	f.drain(t)
	r = c.requests[1]
	user, password, _ := r.BasicAuth()
	require.Equal(t, []string{"me", "pass"}, []string{user, password})
	require.Empty(t, r.Header.Get("Content-Encoding"))
	require.Equal(t, 2, c.stored(logsIndex))
}

func TestProxy(t *testing.T) {
	c := &cluster{docs: map[string]map[string]string{}, arrivals: map[string]int{}}
	var through atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "es.invalid:9200" {
			through.Add(1)
		}
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	f := start(t, "http://es.invalid", map[string]any{"proxy_url": proxy.URL})
	f.push(t, docs(queue.Logs, 0, 3))
	f.drain(t)
	require.Equal(t, 3, c.stored(logsIndex))
	require.Positive(t, through.Load())

	f = start(t, "http://es.invalid", map[string]any{"proxy_url": proxy.URL, "proxy_disable": true})
	f.push(t, docs(queue.Logs, 3, 1))
	f.degraded(t, "cannot be resolved")
}

// authority signs servers' certificates.
type authority struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert, der, key}
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der}))
}

func (a *authority) fingerprint() string {
	sum := sha256.Sum256(a.der)
	return hex.EncodeToString(sum[:])
}

func (a *authority) server(t *testing.T, h http.Handler, name string, until time.Time) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "es"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der, a.der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTLS(t *testing.T) {
	good, other := newAuthority(t), newAuthority(t)
	c := &cluster{docs: map[string]map[string]string{}, arrivals: map[string]int{}}
	hour := time.Now().Add(time.Hour)
	server := good.server(t, c, "127.0.0.1", hour)
	for name, ssl := range map[string]map[string]any{
		"authority":   {"certificate_authorities": []any{good.pem()}},
		"fingerprint": {"ca_trusted_fingerprint": good.fingerprint()},
		"none":        {"verification_mode": "none"},
	} {
		f := start(t, server.URL, map[string]any{"ssl": ssl})
		f.push(t, []queue.Doc{{Index: logsIndex, ID: name, JSON: []byte("{}")}})
		f.drain(t)
		require.NotEmpty(t, c.docs[logsIndex][name], name)
	}
	before := len(c.requests)
	plain := httptest.NewServer(c)
	t.Cleanup(plain.Close)
	for name, tc := range map[string]struct {
		url  string
		ssl  map[string]any
		word string
	}{
		"unknown authority": {server.URL, map[string]any{}, "unknown authority"},
		"wrong authority":   {server.URL, map[string]any{"certificate_authorities": []any{other.pem()}}, "unknown authority"},
		"wrong fingerprint": {server.URL, map[string]any{"ca_trusted_fingerprint": other.fingerprint()}, "has the fingerprint of ssl.ca_trusted_fingerprint"},
		"expired":           {good.server(t, c, "127.0.0.1", time.Now().Add(-time.Hour)).URL, map[string]any{"certificate_authorities": []any{good.pem()}}, "not valid at this time"},
		"another name":      {good.server(t, c, "es.test", hour).URL, map[string]any{"certificate_authorities": []any{good.pem()}}, "another name"},
		"no TLS there":      {strings.Replace(plain.URL, "http:", "https:", 1), map[string]any{}, "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, tc.url, map[string]any{"ssl": tc.ssl})
			f.push(t, docs(queue.Alerts, 0, 2))
			f.degraded(t, tc.word, "documents wait in the queue")
			f.stop()
			require.Equal(t, uint64(2), f.balance(t).Queued())
		})
	}
	require.Len(t, c.requests, before, "nothing was sent to a server that is not trusted")
}
