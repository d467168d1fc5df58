// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package elasticsearch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/elastic/cloud-defend/pkg/output"
	"github.com/elastic/cloud-defend/pkg/queue"
)

const (
	// refusedShows is how long a document that nobody took shows in the state.
	refusedShows = time.Hour
	// deniedShows is longer than documents wait that are not allowed.
	deniedShows = 2 * time.Minute
)

// hostState is how the last request to a host went.
type hostState struct {
	tried bool
	fault string // empty: well
}

// sent counts a request.
func (o *Output) sent(size int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Requests++
	o.stats.Bytes += uint64(size)
	if err != nil {
		o.stats.Failed++
	}
}

// note takes down how a delivery to a host went, and why documents were not
// allowed if any were not.
func (o *Output) note(host int, err error, denied string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts[host] = hostState{tried: true}
	if denied != "" {
		o.denied, o.deniedAt = denied, time.Now()
	}
	if err != nil {
		o.hosts[host].fault = o.explain(host, err)
	}
}

// count counts what became of the documents of a delivery, finished or not.
func (o *Output) count(d *delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, outcome := range d.outcomes {
		switch outcome {
		case queue.Delivered:
			o.stats.Created++
		case queue.Retry:
			o.stats.Retried++
		case queue.Delay:
			o.stats.Denied++
		case queue.Rejected:
			o.stats.Rejected++
		}
	}
	o.stats.Created -= d.duplicates
	o.stats.Duplicates += d.duplicates
}

// State says whether documents arrive, and if not why and what to do.
func (o *Output) State() output.State {
	o.mu.Lock()
	defer o.mu.Unlock()
	var faults []string
	well := 0
	for _, h := range o.hosts {
		switch {
		case h.fault != "":
			faults = append(faults, h.fault)
		case h.tried:
			well++
		}
	}
	switch {
	case len(faults) > 0 && well == 0:
		return output.State{Degraded: true, Message: faults[0] + "; documents wait in the queue"}
	case o.denied != "" && time.Since(o.deniedAt) < deniedShows:
		return output.State{Degraded: true, Message: fmt.Sprintf(
			"documents are not allowed into %s; grant the output's credentials auto_configure and create_doc on it, or install the integration", o.denied)}
	case !o.refusedAt.IsZero() && time.Since(o.refusedAt) < refusedShows:
		return output.State{Degraded: true, Message: o.refusedMessage()}
	case len(faults) > 0:
		return output.State{Message: fmt.Sprintf("delivering; of %d hosts %d do not answer: %s", len(o.hosts), len(faults), faults[0])}
	case well == 0:
		return output.State{Message: "nothing was to be delivered yet"}
	}
	return output.State{Message: "delivering"}
}

func (o *Output) refusedMessage() string {
	text := fmt.Sprintf("%d documents were refused, last for this reason: %s", o.stats.Kept+o.stats.LostRefused, o.refusedFor)
	if o.stats.Kept > 0 {
		text += fmt.Sprintf("; %d of them are in %s", o.stats.Kept, o.keeper.path)
	}
	if o.stats.LostRefused > 0 {
		text += fmt.Sprintf("; %d are lost, because that has no room: move the file away", o.stats.LostRefused)
	}
	return text
}

// explain says in one sentence what is wrong with a host and what to do.
func (o *Output) explain(host int, err error) string {
	at := o.cfg.Hosts[host].Redacted()
	var status *statusError
	switch {
	case errors.As(err, &status):
		return at + " " + explainStatus(status)
	case errors.Is(err, errGarbage):
		return fmt.Sprintf("%s does not answer like Elasticsearch (%v); check hosts and proxies", at, err)
	case strings.Contains(err.Error(), "unknown product"):
		return at + " is not Elasticsearch (no X-Elastic-Product header); check hosts and proxies"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s did not answer within %s; see that it is up and not overloaded, or raise timeout", at, o.cfg.Transport.Timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return at + " refuses connections; see that it is up and check the port in hosts"
	}
	if text := o.explainTLS(err); text != "" {
		return at + ": " + text
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return at + ": the host's name cannot be resolved; check hosts and the node's DNS"
	}
	return fmt.Sprintf("%s cannot be reached: %v", at, err)
}

func explainStatus(e *statusError) string {
	switch e.status {
	case http.StatusUnauthorized:
		return "refuses the output's credentials (" + e.Error() + "); check api_key, or username and password"
	case http.StatusForbidden:
		return "does not allow the output's credentials to write (" + e.Error() + "); grant auto_configure and create_doc on logs-cloud_defend.*"
	case http.StatusProxyAuthRequired:
		return "is behind a proxy that wants credentials (407); check proxy_url and proxy_headers"
	case http.StatusTooManyRequests:
		return "is overloaded (" + e.Error() + ")"
	}
	if e.status >= http.StatusMultipleChoices && e.status < http.StatusBadRequest {
		return "redirects elsewhere (" + e.Error() + "), which is not followed; write the final address in hosts"
	}
	return "answers " + e.Error()
}

// explainTLS names what is wrong with a certificate; empty if nothing is.
func (o *Output) explainTLS(err error) string {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		record   tls.RecordHeaderError
		alert    tls.AlertError
	)
	switch {
	case errors.As(err, &unknown):
		if fp := o.cfg.Transport.TLS; fp != nil && fp.CATrustedFingerprint != "" {
			return "no certificate authority in the server's chain has the fingerprint of ssl.ca_trusted_fingerprint; correct it, or set ssl.certificate_authorities"
		}
		return "the server's certificate is signed by an unknown authority; set ssl.certificate_authorities or ssl.ca_trusted_fingerprint"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is not valid at this time (" + invalid.Detail + "); renew it, or set the node's clock"
	case errors.As(err, &invalid):
		return "the server's certificate is not valid: " + invalid.Error()
	case errors.As(err, &hostname):
		return "the server's certificate is for another name (" + hostname.Error() + "); use that name in hosts"
	case errors.As(err, &record):
		return "the server does not speak TLS here; write http:// in hosts if that is meant, or correct the port"
	case errors.As(err, &alert):
		return "the server broke off the TLS handshake (" + alert.Error() + "); check ssl.certificate and ssl.key"
	}
	return ""
}
