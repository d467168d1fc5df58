// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"

	protobuf "google.golang.org/protobuf/proto"

	"github.com/elastic/elastic-agent-client/v7/pkg/client"
	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
)

// maxConnectionInfo bounds what is read from the agent: it sends an address, a
// token and three PEM blocks, less than 10 kB.
const maxConnectionInfo = 1 << 20

// ConnectionError is why the connection info of Elastic Agent cannot be used.
// It never quotes the info, which holds a key and a token.
type ConnectionError struct {
	Fault, Remedy string
}

func (e *ConnectionError) Error() string {
	return fmt.Sprintf("read connection info: %s; %s", e.Fault, e.Remedy)
}

const (
	startedByHand = "with --agent-managed only Elastic Agent can start this program; by hand, use: cloud-defend run --policy FILE"
	tooOldAgent   = "upgrade Elastic Agent to 8.6 or newer"
	brokenAgent   = "restart Elastic Agent; if that does not help, reinstall it"
)

// dial makes a client of what the agent writes to our standard input at the
// start. It does not connect yet.
func dial(stdin io.Reader, version client.VersionInfo, opts ...client.V2ClientOption) (client.V2, error) {
	raw, err := io.ReadAll(io.LimitReader(stdin, maxConnectionInfo+1))
	if err != nil {
		return nil, &ConnectionError{"standard input: " + err.Error(), brokenAgent}
	}
	if err := checkConnectionInfo(raw); err != nil {
		return nil, err
	}
	connected, _, err := client.NewV2FromReader(bytes.NewReader(raw), version, opts...)
	if errors.Is(err, client.ErrV2Unavailable) {
		return nil, &ConnectionError{err.Error(), tooOldAgent}
	}
	if err != nil {
		return nil, &ConnectionError{err.Error(), brokenAgent}
	}
	return connected, nil
}

// checkConnectionInfo finds what the client library would trip over later, or
// without a word.
func checkConnectionInfo(raw []byte) error {
	if len(raw) == 0 {
		return &ConnectionError{"standard input is empty", startedByHand}
	}
	if len(raw) > maxConnectionInfo {
		return &ConnectionError{fmt.Sprintf("standard input has more than %d bytes", maxConnectionInfo), startedByHand}
	}
	var info proto.StartUpInfo
	if err := protobuf.Unmarshal(raw, &info); err != nil {
		return &ConnectionError{"standard input holds something else", startedByHand}
	}
	switch {
	case info.Addr == "":
		return &ConnectionError{"it names no address", startedByHand}
	case info.Token == "":
		return &ConnectionError{"it has no token", brokenAgent}
	case !slices.Contains(info.Services, proto.ConnInfoServices_CheckinV2):
		return &ConnectionError{"the agent does not offer version 2 of the control protocol", tooOldAgent}
	}
	if _, err := tls.X509KeyPair(info.PeerCert, info.PeerKey); err != nil {
		return &ConnectionError{"our certificate and key do not fit: " + err.Error(), brokenAgent}
	}
	if !x509.NewCertPool().AppendCertsFromPEM(info.CaCert) {
		return &ConnectionError{"it has no certificate of the agent's authority", brokenAgent}
	}
	return nil
}
