// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Failure is a way in which a question to the API server fails.
type Failure uint8

// The failures.
const (
	Unreachable Failure = iota
	Slow
	Forbidden
	Unauthorized
	Gone // what was watched from is forgotten, so everything is listed anew
	Refused
)

var failures = [...]string{
	Unreachable: "unreachable", Slow: "slow", Forbidden: "forbidden", Unauthorized: "unauthorized", Gone: "gone", Refused: "refused",
}

func (f Failure) String() string { return failures[f] }

// Failures lists them.
func Failures() []Failure {
	return []Failure{Unreachable, Slow, Forbidden, Unauthorized, Gone, Refused}
}

// Stats is the state of the source at one moment.
type Stats struct {
	// Present is false where there is no Kubernetes.
	Present bool
	// Err is what could not be had when it was asked for last, and what to do
	// about it; nil when nothing is missing.
	Err error
	// Pods counts those of this node.
	Pods int
	// Failures counts the questions without an answer, by why.
	Failures [len(failures)]uint64
}

// question is what a role must allow.
type question struct{ verb, resource, group string }

func (q question) String() string { return q.verb + " " + q.resource }

// state keeps what went wrong last with each question.
type state struct {
	mu    sync.Mutex
	stats Stats
	errs  map[question]error
}

func (s *state) count(pods int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Pods = pods
}

// note keeps the outcome of a question.
func (s *state) note(q question, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.errs, q)
		return
	}
	why := classify(err)
	s.stats.Failures[why]++
	if why == Gone {
		return // a list follows, and tells
	}
	if s.errs == nil {
		s.errs = map[question]error{}
	}
	s.errs[q] = q.explain(why, err)
}

func (s *state) read() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	var errs []error
	for _, q := range slices.SortedFunc(maps.Keys(s.errs), func(a, b question) int { return strings.Compare(a.String(), b.String()) }) {
		errs = append(errs, s.errs[q])
	}
	stats.Err = join(errs)
	return stats
}

// join is errors.Join on one line.
func join(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}

func classify(err error) Failure {
	var timeout net.Error
	switch {
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
		return Gone
	case apierrors.IsForbidden(err):
		return Forbidden
	case apierrors.IsUnauthorized(err):
		return Unauthorized
	case errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err),
		apierrors.IsTooManyRequests(err), errors.As(err, &timeout) && timeout.Timeout():
		return Slow
	case apierrors.ReasonForError(err) != "":
		return Refused
	}
	return Unreachable
}

// explain says what could not be had, why, and what to do.
func (q question) explain(why Failure, err error) error {
	switch why {
	case Forbidden:
		return fmt.Errorf("%s: forbidden; let the service account %s %s of API group %q by a cluster role", q, q.verb, q.resource, q.group)
	case Unauthorized:
		return fmt.Errorf("%s: the API server does not know us; renew the service account's token", q)
	case Slow:
		return fmt.Errorf("%s: the API server does not answer in time: %w", q, err)
	}
	return fmt.Errorf("%s: %w", q, err)
}
