// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

// Package pkg holds the stages of cloud-defend, one package each, along four arrows:
//
//	policy    file or unit ──yaml──▶ policy ──Policy──▶ ruleset ──Ruleset──▶ probe ──▶ kernel maps
//	events    kernel rings ──▶ probe ──Event──▶ process ──Process──▶ ecs ──document──▶ output
//	scope     container runtime ──▶ container ──Container──▶ { ruleset: which rules apply to it
//	                                                         { ecs: what to say about it
//	state     every stage ──Stats──▶ pipeline ──State──▶ unit, telemetry, terminal, log
//
// Policy goes down, events come up, containers go across, and health is pulled
// out at the end. A stage returns a value or an error, and counts what it drops;
// no stage calls back into another. They meet in one place, package pipeline,
// which also owns every goroutine that outlives a call.
package pkg
