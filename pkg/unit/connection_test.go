// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit_test

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"

	"github.com/elastic/cloud-defend/pkg/unit"
	"github.com/elastic/cloud-defend/testing/agent"
)

func TestConnectRefuses(t *testing.T) {
	a := startAgent(t)
	byHand := "with --agent-managed only Elastic Agent can start this program; by hand, use: cloud-defend run --policy FILE"
	broken := "restart Elastic Agent; if that does not help, reinstall it"
	upgrade := "upgrade Elastic Agent to 8.6 or newer"
	for name, tc := range map[string]struct {
		spoil        func(*proto.StartUpInfo)
		fault, after string
	}{
		"no address":       {func(i *proto.StartUpInfo) { i.Addr = "" }, "it names no address", byHand},
		"no token":         {func(i *proto.StartUpInfo) { i.Token = "" }, "it has no token", broken},
		"no key":           {func(i *proto.StartUpInfo) { i.PeerKey = nil }, "our certificate and key do not fit: tls: failed to find any PEM data in key input", broken},
		"another's key":    {func(i *proto.StartUpInfo) { i.PeerKey = startAgent(t).StartUpInfo().PeerKey }, "our certificate and key do not fit: tls: private key does not match public key", broken},
		"no authority":     {func(i *proto.StartUpInfo) { i.CaCert = []byte("x") }, "it has no certificate of the agent's authority", broken},
		"no services":      {func(i *proto.StartUpInfo) { i.Services = nil }, "the agent does not offer version 2 of the control protocol", upgrade},
		"only version one": {func(i *proto.StartUpInfo) { i.Services = []proto.ConnInfoServices{proto.ConnInfoServices_Checkin} }, "the agent does not offer version 2 of the control protocol", upgrade},
	} {
		t.Run(name, func(t *testing.T) {
			info := a.StartUpInfo()
			tc.spoil(info)
			raw, err := protobuf.Marshal(info)
			require.NoError(t, err)
			requireRefusal(t, bytes.NewReader(raw), tc.fault+"; "+tc.after)
		})
	}
	requireRefusal(t, bytes.NewReader(nil), "standard input is empty; "+byHand)
	requireRefusal(t, bytes.NewReader([]byte("process:\n  selectors: []\n")), "standard input holds something else; "+byHand)
	requireRefusal(t, io.LimitReader(zeroes{}, 1<<30), "standard input has more than 1048576 bytes; "+byHand)
	requireRefusal(t, iotest.ErrReader(io.ErrClosedPipe), "standard input: io: read/write on closed pipe; "+broken)
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func requireRefusal(t *testing.T, stdin io.Reader, want string) {
	t.Helper()
	_, err := unit.Connect(stdin, unit.Options{Log: slog.New(slog.DiscardHandler)})
	var refused *unit.ConnectionError
	require.ErrorAs(t, err, &refused)
	require.EqualError(t, err, "read connection info: "+want)
}

// Whatever a broken agent writes, the answer is an error or a component, and
// the error does not give the token or the key away.
func FuzzConnect(f *testing.F) {
	a, err := agent.Start()
	require.NoError(f, err)
	f.Cleanup(a.Stop)
	info := a.StartUpInfo()
	whole, err := protobuf.Marshal(info)
	require.NoError(f, err)
	for _, cut := range []int{0, 1, len(whole) / 2, len(whole)} {
		f.Add(whole[:cut])
	}
	info.Services = nil
	without, err := protobuf.Marshal(info)
	require.NoError(f, err)
	f.Add(without)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := unit.Connect(bytes.NewReader(raw), unit.Options{Log: slog.New(slog.DiscardHandler)})
		require.NotEqual(t, c == nil, err == nil)
		if err != nil {
			require.NotContains(t, err.Error(), info.Token)
			require.NotContains(t, err.Error(), "PRIVATE KEY-----")
		}
	})
}
