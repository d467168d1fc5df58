// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package cloud

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The answers have the shapes that the clouds document. Each service refuses, as
// theirs does, a request without its header; AWS one without the token.
var services = map[string]struct {
	serve http.HandlerFunc
	want  Facts
}{
	"aws": {
		func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
				_, _ = w.Write([]byte("AQAAANtoken=="))
			case r.URL.Path == "/latest/dynamic/instance-identity/document" && r.Header.Get("X-aws-ec2-metadata-token") == "AQAAANtoken==":
				_, _ = w.Write([]byte(`{"accountId":"123456789012","architecture":"x86_64","availabilityZone":"us-east-1c","billingProducts":null,
					"devpayProductCodes":null,"imageId":"ami-5fb8c835","instanceId":"i-1234567890abcdef0","instanceType":"t2.micro","kernelId":null,
					"pendingTime":"2016-11-19T16:32:11Z","privateIp":"10.158.112.84","ramdiskId":null,"region":"us-east-1","version":"2017-09-30"}`))
			default:
				w.WriteHeader(http.StatusUnauthorized)
			}
		},
		Facts{Provider: "aws", Region: "us-east-1", Zone: "us-east-1c", AccountID: "123456789012", InstanceID: "i-1234567890abcdef0", MachineType: "t2.micro"},
	},
	"gcp": {
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/computeMetadata/v1/" || r.URL.Query().Get("recursive") != "true" || r.Header.Get("Metadata-Flavor") != "Google" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Metadata-Flavor", "Google")
			_, _ = w.Write([]byte(`{"instance":{"attributes":{"cluster-location":"europe-west1","cluster-name":"prod","cluster-uid":"9e0f"},
				"id":3710385293043240192,"machineType":"projects/998/machineTypes/e2-medium","name":"gke-prod-pool-1","tags":["a"],
				"zone":"projects/998/zones/europe-west1-b"},"project":{"attributes":{},"numericProjectId":998,"projectId":"my-project"}}`))
		},
		Facts{
			Provider: "gcp", Region: "europe-west1", Zone: "europe-west1-b", AccountID: "my-project", ProjectID: "my-project",
			InstanceID: "3710385293043240192", InstanceName: "gke-prod-pool-1", MachineType: "e2-medium", ClusterName: "prod",
		},
	},
	"azure": {
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/metadata/instance/compute" || r.URL.Query().Get("api-version") == "" || r.Header.Get("Metadata") != "true" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			_, _ = w.Write([]byte(`{"azEnvironment":"AzurePublicCloud","location":"westeurope","name":"aks-pool-0","osType":"Linux","placementGroupId":"",
				"resourceGroupName":"group","subscriptionId":"8d10da13-8125-4ba9-a717-bf7490507b3d","tags":"","vmId":"02aab8a4-74ef-476e-8182-f6d2ba4166a6",
				"vmSize":"Standard_A3","zone":"1"}`))
		},
		Facts{
			Provider: "azure", Region: "westeurope", Zone: "1", AccountID: "8d10da13-8125-4ba9-a717-bf7490507b3d",
			InstanceID: "02aab8a4-74ef-476e-8182-f6d2ba4166a6", InstanceName: "aks-pool-0", MachineType: "Standard_A3",
		},
	},
}

func TestAsk(t *testing.T) {
	for name, c := range services {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			defer server.Close()
			got, ok := ask(t.Context(), server.URL, []time.Duration{0})
			require.True(t, ok)
			require.Equal(t, c.want, got)
		})
	}
}

func TestAskElsewhere(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"not found": http.NotFound,
		// What answers everything with a page is a captive portal, not a cloud.
		"a page":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no data": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(serve)
			defer server.Close()
			got, ok := ask(t.Context(), server.URL, []time.Duration{0, 0})
			require.False(t, ok)
			require.Zero(t, got)
		})
	}
}

// A machine's service that is not up yet is asked again.
func TestAskAgain(t *testing.T) {
	asked := make(chan bool, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked <- true; len(asked) <= 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		services["gcp"].serve(w, r)
	}))
	defer server.Close()
	got, ok := ask(t.Context(), server.URL, []time.Duration{0, 0})
	require.True(t, ok)
	require.Equal(t, services["gcp"].want, got)
}

// A service that never answers holds nobody up for longer than was said.
func TestAskSilence(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	began := time.Now()
	_, ok := ask(t.Context(), server.URL, []time.Duration{0})
	require.False(t, ok)
	require.Less(t, time.Since(began), answerTime+5*time.Second)
}

func TestFromNode(t *testing.T) {
	labels := map[string]string{
		"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "eu-1", "node.kubernetes.io/instance-type": "big",
	}
	for id, want := range map[string]Facts{
		"aws:///eu-1c/i-0abc": {Provider: "aws", InstanceID: "i-0abc"},
		"gce://p/eu-1c/n":     {Provider: "gcp", ProjectID: "p"},
		"azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/x/virtualMachines/0": {
			Provider: "azure", AccountID: "s",
		},
		"kind://docker/kind/node": {Provider: "kind"},
		"aws://":                  {Provider: "aws"},
		"gce://p":                 {Provider: "gcp"},
		"azure:///":               {Provider: "azure"},
		"":                        {},
		"nonsense":                {},
	} {
		want.InstanceName, want.Region, want.Zone, want.MachineType = "n", "eu", "eu-1", "big"
		require.Equal(t, want, FromNode("n", id, labels), id)
	}
	require.Equal(t, "eu-1c", FromNode("n", "aws:///eu-1c/i-0abc", nil).Zone, "no label says it")
}

func TestOr(t *testing.T) {
	node := Facts{Provider: "aws", Zone: "eu-1", InstanceName: "n"}
	require.Equal(t, Facts{Provider: "aws", Region: "eu", Zone: "eu-1", InstanceName: "n"}, node.Or(Facts{Provider: "aws", Region: "eu", Zone: "eu-2"}))
	require.Equal(t, node, node.Or(Facts{Provider: "gcp", Region: "us"}), "another cloud's")
	require.Equal(t, node, Facts{}.Or(node))
}
