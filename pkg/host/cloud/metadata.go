// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// address is the metadata service's on each of the three clouds. It is
	// link-local: a request never leaves the machine's own network.
	address = "http://169.254.169.254"
	// answerTime bounds one attempt. Elsewhere nobody answers at all.
	answerTime = 3 * time.Second
	// maxAnswer bounds what is read; an instance's attributes may be large.
	maxAnswer = 4 << 20
)

// retries are the pauses before each attempt. A machine's first minute may be
// too early.
var retries = []time.Duration{0, 5 * time.Second, 30 * time.Second, 2 * time.Minute}

// Ask asks the metadata services until one answers, for some minutes. False
// means that none did: this is another cloud or none, or containers are kept
// from asking.
func Ask(ctx context.Context) (Facts, bool) { return ask(ctx, address, retries) }

func ask(ctx context.Context, address string, retries []time.Duration) (Facts, bool) {
	for _, pause := range retries {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Facts{}, false
		}
		if f, ok := askAll(ctx, address); ok {
			return f, true
		}
	}
	return Facts{}, false
}

// askAll asks all clouds at once: only the one that this is understands.
func askAll(ctx context.Context, address string) (Facts, bool) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	// The environment's proxies are for the internet.
	s := service{address, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	clouds := []func(context.Context) (Facts, error){s.aws, s.gcp, s.azure}
	answers := make(chan Facts, len(clouds))
	for _, cloud := range clouds {
		go func() { // ends with ctx
			f, err := cloud(ctx)
			if err != nil {
				f = Facts{}
			}
			answers <- f
		}()
	}
	for range clouds {
		if f := <-answers; f.Provider != "" {
			return f, true
		}
	}
	return Facts{}, false
}

// errForeign is returned for an answer that no such cloud gives.
var errForeign = errors.New("not this cloud's answer")

// service is a metadata service.
type service struct {
	address string
	client  *http.Client
}

// do returns an answer of status 200 whole, and its header.
func (s service) do(ctx context.Context, method, path, header, value string) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.address+path, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set(header, value)
	reply, err := s.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s %s: %s", method, path, reply.Status)
	}
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxAnswer))
	return body, reply.Header, err
}

// aws speaks version 2 of the protocol, which wants a token first: version 1 may
// be turned off.
func (s service) aws(ctx context.Context) (Facts, error) {
	token, _, err := s.do(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return Facts{}, err
	}
	body, _, err := s.do(ctx, http.MethodGet, "/latest/dynamic/instance-identity/document", "X-aws-ec2-metadata-token", string(token))
	if err != nil {
		return Facts{}, err
	}
	var d struct{ AccountID, AvailabilityZone, InstanceID, InstanceType, Region string }
	if json.Unmarshal(body, &d) != nil || d.InstanceID == "" {
		return Facts{}, errForeign
	}
	return Facts{
		Provider: "aws", Region: d.Region, Zone: d.AvailabilityZone, AccountID: d.AccountID,
		InstanceID: d.InstanceID, MachineType: d.InstanceType,
	}, nil
}

func (s service) gcp(ctx context.Context) (Facts, error) {
	body, header, err := s.do(ctx, http.MethodGet, "/computeMetadata/v1/?recursive=true&alt=json", "Metadata-Flavor", "Google")
	if err != nil {
		return Facts{}, err
	}
	var d struct {
		Instance struct {
			ID                      uint64
			Name, Zone, MachineType string
			Attributes              map[string]string
		}
		Project struct{ ProjectID string }
	}
	if json.Unmarshal(body, &d) != nil || header.Get("Metadata-Flavor") != "Google" {
		return Facts{}, errForeign
	}
	zone := last(d.Instance.Zone)
	return Facts{
		Provider: "gcp", Region: regionOf(zone), Zone: zone, AccountID: d.Project.ProjectID, ProjectID: d.Project.ProjectID,
		InstanceID: strconv.FormatUint(d.Instance.ID, 10), InstanceName: d.Instance.Name, MachineType: last(d.Instance.MachineType),
		ClusterName: d.Instance.Attributes["cluster-name"],
	}, nil
}

// last is the end of a resource's path: projects/1/zones/europe-west1-b.
func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// regionOf drops the zone's letter.
func regionOf(zone string) string {
	return zone[:max(0, strings.LastIndexByte(zone, '-'))]
}

func (s service) azure(ctx context.Context) (Facts, error) {
	body, _, err := s.do(ctx, http.MethodGet, "/metadata/instance/compute?api-version=2021-02-01&format=json", "Metadata", "true")
	if err != nil {
		return Facts{}, err
	}
	var d struct{ Location, Name, SubscriptionID, VMID, VMSize, Zone string }
	if json.Unmarshal(body, &d) != nil || d.VMID == "" {
		return Facts{}, errForeign
	}
	return Facts{
		Provider: "azure", Region: d.Location, Zone: d.Zone, AccountID: d.SubscriptionID,
		InstanceID: d.VMID, InstanceName: d.Name, MachineType: d.VMSize,
	}, nil
}
