// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package deploy_test

// The parts of Kubernetes' API that the manifests use. A key that is not here is a mistake, or has to be added.

type object struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
}

type metadata struct {
	Name      string            `yaml:"name"`
	Namespace string            `yaml:"namespace"`
	Labels    map[string]string `yaml:"labels"`
}

type clusterRole struct {
	object `yaml:",inline"`
	Rules  []rule `yaml:"rules"`
}

type rule struct {
	APIGroups     []string `yaml:"apiGroups"`
	Resources     []string `yaml:"resources"`
	ResourceNames []string `yaml:"resourceNames"`
	Verbs         []string `yaml:"verbs"`
}

type binding struct {
	object   `yaml:",inline"`
	RoleRef  map[string]string `yaml:"roleRef"`
	Subjects []subject         `yaml:"subjects"`
}

type subject struct {
	Kind      string `yaml:"kind"`
	Name      string `yaml:"name"`
	Namespace string `yaml:"namespace"`
}

type configMap struct {
	object `yaml:",inline"`
	Data   map[string]string `yaml:"data"`
}

type daemonSet struct {
	object `yaml:",inline"`
	Spec   struct {
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"selector"`
		MinReadySeconds int `yaml:"minReadySeconds"`
		UpdateStrategy  struct {
			Type          string `yaml:"type"`
			RollingUpdate struct {
				MaxUnavailable string `yaml:"maxUnavailable"`
				MaxSurge       int    `yaml:"maxSurge"`
			} `yaml:"rollingUpdate"`
		} `yaml:"updateStrategy"`
		Template struct {
			Metadata metadata `yaml:"metadata"`
			Spec     podSpec  `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type podSpec struct {
	ServiceAccountName            string            `yaml:"serviceAccountName"`
	AutomountServiceAccountToken  *bool             `yaml:"automountServiceAccountToken"`
	HostNetwork                   bool              `yaml:"hostNetwork"`
	DNSPolicy                     string            `yaml:"dnsPolicy"`
	NodeSelector                  map[string]string `yaml:"nodeSelector"`
	Tolerations                   []toleration      `yaml:"tolerations"`
	PriorityClassName             string            `yaml:"priorityClassName"`
	TerminationGracePeriodSeconds int               `yaml:"terminationGracePeriodSeconds"`
	Containers                    []container       `yaml:"containers"`
	Volumes                       []volume          `yaml:"volumes"`
}

type toleration struct {
	Key    string `yaml:"key"`
	Effect string `yaml:"effect"`
}

type container struct {
	Name            string          `yaml:"name"`
	Image           string          `yaml:"image"`
	Args            []string        `yaml:"args"`
	Env             []variable      `yaml:"env"`
	SecurityContext securityContext `yaml:"securityContext"`
	Resources       struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	VolumeMounts []volumeMount `yaml:"volumeMounts"`
}

type variable struct {
	Name      string  `yaml:"name"`
	Value     string  `yaml:"value"`
	ValueFrom *source `yaml:"valueFrom"`
}

type source struct {
	FieldRef struct {
		FieldPath string `yaml:"fieldPath"`
	} `yaml:"fieldRef"`
	SecretKeyRef struct {
		Name string `yaml:"name"`
		Key  string `yaml:"key"`
	} `yaml:"secretKeyRef"`
}

type securityContext struct {
	RunAsUser              *int `yaml:"runAsUser"`
	Privileged             bool `yaml:"privileged"`
	ReadOnlyRootFilesystem bool `yaml:"readOnlyRootFilesystem"`
	Capabilities           struct {
		Add  []string `yaml:"add"`
		Drop []string `yaml:"drop"`
	} `yaml:"capabilities"`
	AppArmorProfile profile `yaml:"appArmorProfile"`
	SeccompProfile  profile `yaml:"seccompProfile"`
}

type profile struct {
	Type string `yaml:"type"`
}

type volumeMount struct {
	Name      string `yaml:"name"`
	MountPath string `yaml:"mountPath"`
	ReadOnly  bool   `yaml:"readOnly"`
}

type volume struct {
	Name     string `yaml:"name"`
	HostPath *struct {
		Path string `yaml:"path"`
		Type string `yaml:"type"`
	} `yaml:"hostPath"`
	ConfigMap *struct {
		Name        string `yaml:"name"`
		DefaultMode int    `yaml:"defaultMode"`
	} `yaml:"configMap"`
}
