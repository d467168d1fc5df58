// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"google.golang.org/grpc/credentials"
)

// serverName is what the server's certificate is for. Each agent has its own, a
// random number, and no address in it.
const serverName = "0123456789abcdef0123456789abcdef"

// certificates are those of one agent, in PEM where the component gets them.
type certificates struct {
	authority, peer, peerKey []byte
	pool                     *x509.CertPool
	agent                    tls.Certificate
}

// server asks the component for a certificate, as the agent does.
func (c certificates) server() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{c.agent},
		ClientCAs:    c.pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	})
}

func newCertificates() (certificates, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificates{}, err
	}
	ca := template("authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return certificates{}, fmt.Errorf("make an authority: %w", err)
	}
	c := certificates{authority: block("CERTIFICATE", caDER), pool: x509.NewCertPool()}
	c.pool.AppendCertsFromPEM(c.authority)
	if c.peer, c.peerKey, err = pair(ca, caKey); err != nil {
		return certificates{}, err
	}
	cert, key, err := pair(ca, caKey)
	if err != nil {
		return certificates{}, err
	}
	c.agent, err = tls.X509KeyPair(cert, key)
	return c, err
}

func pair(ca *x509.Certificate, caKey *ecdsa.PrivateKey) (cert, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template(serverName), ca, &own.PublicKey, caKey)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	keyDER, err := x509.MarshalECPrivateKey(own)
	return block("CERTIFICATE", der), block("EC PRIVATE KEY", keyDER), err
}

func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
