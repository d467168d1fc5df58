// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package unit

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/elastic/elastic-agent-client/v7/pkg/client"
	"github.com/elastic/elastic-agent-client/v7/pkg/client/mock"
	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
)

// connectToStub connects a component to the agent's stub server as it is, which
// speaks only when it is spoken to.
func connectToStub(t *testing.T, states chan<- *proto.UnitObserved) *Component {
	t.Helper()
	stub := &mock.StubServerV2{
		LocalRPC: "agent",
		CheckinV2Impl: func(observed *proto.CheckinObserved) *proto.CheckinExpected {
			for _, u := range observed.Units {
				states <- u
			}
			return &proto.CheckinExpected{Units: []*proto.UnitExpected{{
				Id: "u", State: proto.State_HEALTHY, ConfigStateIdx: 1, LogLevel: proto.UnitLogLevel_INFO,
				Config: inputOf(t, alertsWith(map[string]any{"security-policy": "file: {}"})),
			}}}
		},
		ActionImpl:  func(*proto.ActionResponse) error { return nil },
		ActionsChan: make(chan *mock.PerformAction),
		SentActions: map[string]*mock.PerformAction{},
	}
	t.Setenv("TMPDIR", shortDir(t))
	require.NoError(t, stub.Start())
	t.Cleanup(stub.Stop)
	connected := client.NewV2(stub.GetTarget(), "token", client.VersionInfo{Name: "cloud-defend"},
		client.WithGRPCDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials())))
	return newComponent(connected, Options{Log: slog.New(slog.DiscardHandler)})
}

func TestUnchangedStubServer(t *testing.T) {
	states := make(chan *proto.UnitObserved, 100)
	c := connectToStub(t, states)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	w := <-c.Wanted()
	require.EqualValues(t, 7, w.Input.Revision)
	c.Report(Report{Applied: w.Sequence, Input: Health{InForce: "in force"}})
	for deadline := time.After(2 * time.Minute); ; {
		select {
		case u := <-states:
			if u.State == proto.State_HEALTHY {
				require.Equal(t, "in force", u.Message)
				c.Close()
				require.NoError(t, <-ended)
				return
			}
		case <-deadline:
			require.Fail(t, "never healthy")
		}
	}
}

// shortDir is a folder whose sockets have a name that is short enough.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "u")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// A unit says that it is there before its configuration has been put together.
func TestUnitStarts(t *testing.T) {
	states := make(chan *proto.UnitObserved, 100)
	c := connectToStub(t, states)
	c.gather = time.Hour
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	u := <-states
	require.Equal(t, proto.State_STARTING, u.State)
	require.Equal(t, "Starting: its configuration is next", u.Message)
	c.Close()
	require.NoError(t, <-ended)
}
