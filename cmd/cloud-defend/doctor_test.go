// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/elastic/cloud-defend/pkg/doctor"
	"github.com/elastic/cloud-defend/pkg/probe"
)

func TestExamine(t *testing.T) {
	for ability, code := range map[doctor.Ability]int{
		doctor.BlockLSM:     exitDone,
		doctor.BlockFmodRet: exitDone,
		doctor.Observe:      exitObserve,
		doctor.Processes:    exitObserve,
		doctor.Neither:      exitNeither,
	} {
		opts := doctor.Options{Sockets: []string{}, Try: func(context.Context) doctor.Trial { return doctor.Trial{Ability: ability} }}
		for _, format := range []string{formatTable, formatJSON} {
			var out bytes.Buffer
			err := examine(t.Context(), &out, format, opts)
			if code == exitDone {
				require.NoError(t, err)
			} else {
				var exit *exitError
				require.ErrorAs(t, err, &exit)
				require.Equal(t, code, exit.code)
				require.NoError(t, exit.err, "the report has said it")
			}
			require.Equal(t, format == "json", json.Valid(out.Bytes()), out.String())
			require.Contains(t, out.String(), "kernel")
		}
	}
}

func TestDoctorRefusesWrongInput(t *testing.T) {
	for _, args := range [][]string{{"doctor", "--format", "xml"}, {"doctor", "now"}, {"doctor", "--frmat", "json"}} {
		var out, errs bytes.Buffer
		require.Equal(t, exitInput, execute(t.Context(), args, &out, &errs), args)
		require.Empty(t, out.String())
		require.Regexp(t, "^cloud-defend: .*(use table or json|see .?cloud-defend doctor --help.?)\n$", errs.String())
	}
}

func TestFailedTrial(t *testing.T) {
	trial := failedTrial(&probe.Unsupported{Feature: "refusing operations", Remedy: "run as root", Err: errors.New("lsm: no (MEMLOCK may be too low, consider rlimit.RemoveMemlock)\nfmod_ret: no")})
	require.Equal(t, doctor.Neither, trial.Ability)
	require.EqualError(t, trial.Err, "refusing operations: lsm: no")
	require.Equal(t, "run as root", trial.Remedy)

	trial = failedTrial(errors.New("read the programs: bad"))
	require.EqualError(t, trial.Err, "read the programs: bad")
	require.Empty(t, trial.Remedy)
}
