package main

import (
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// What is written is what a Deployment's pods look like with a proxy beside them, after the kubelet's last word: about
// 6.8 KB of JSON each. They are of many Deployments, each with labels of its own, in three zones; bench/pods.py holds
// the formulas that tell right from wrong.

const podsOfDeployment = 500

const managedByController = `{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:app.kubernetes.io/name":{},` +
	`"f:app.kubernetes.io/part-of":{},"f:app.kubernetes.io/version":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},` +
	`"k:{\"uid\":\"%s\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"proxy\"}":{".":{},"f:args":{},"f:env":{".":{},` +
	`"k:{\"name\":\"POD_IP\"}":{".":{},"f:name":{},"f:valueFrom":{".":{},"f:fieldRef":{}}}},"f:image":{},"f:imagePullPolicy":{},` +
	`"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":15090,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:name":{},` +
	`"f:protocol":{}}},"f:resources":{}},"k:{\"name\":\"web\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"LOG_LEVEL\"}":{".":{},` +
	`"f:name":{},"f:value":{}},"k:{\"name\":\"POD_NAME\"}":{".":{},"f:name":{},"f:valueFrom":{".":{},"f:fieldRef":{}}}},` +
	`"f:image":{},"f:imagePullPolicy":{},` +
	`"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:name":{}}},` +
	`"f:readinessProbe":{".":{},"f:httpGet":{".":{},"f:path":{},"f:port":{}}},"f:resources":{".":{},"f:limits":{},"f:requests":{}}}},` +
	`"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:terminationGracePeriodSeconds":{}}}`

const managedByKubelet = `{"f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastProbeTime":{},` +
	`"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Initialized\"}":{".":{},"f:status":{},"f:type":{}},` +
	`"k:{\"type\":\"Ready\"}":{".":{},"f:lastProbeTime":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},` +
	`"f:hostIPs":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"%s\"}":{".":{},"f:ip":{}}},"f:startTime":{}}}`

// pod is the pod of that number. Every tenth is not ready.
func pod(namespace string, number int) *core.Pod {
	now := meta.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	deployment, node := number/podsOfDeployment, number%500
	owner := fmt.Sprintf("web-%03d-6d4cf56db6", deployment)
	zone := "zone-" + string(rune('a'+node%3))
	yes := true
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{
			Name: fmt.Sprintf("%s-%05x", owner, number), GenerateName: owner + "-", Namespace: namespace, UID: uid(2, number),
			CreationTimestamp: now, Generation: 1,
			Labels: map[string]string{
				"app": "web", "app.kubernetes.io/name": fmt.Sprintf("web-%03d", deployment),
				"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/version": "1.4.2", "pod-template-hash": "6d4cf56db6",
				"topology.kubernetes.io/region": "region-1", "topology.kubernetes.io/zone": zone,
			},
			Annotations: map[string]string{
				"prometheus.io/scrape": "true", "prometheus.io/port": "15090", "kubectl.kubernetes.io/default-container": "web",
			},
			OwnerReferences: []meta.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner, UID: uid(1, deployment), Controller: &yes, BlockOwnerDeletion: &yes,
			}},
			ManagedFields: []meta.ManagedFieldsEntry{
				managedBy("kube-controller-manager", "", fmt.Sprintf(managedByController, uid(1, deployment)), now),
				managedBy("kubelet", "status", fmt.Sprintf(managedByKubelet, address(number)), now),
			},
		},
		Spec:   podSpec(fmt.Sprintf("node-%03d", node), fmt.Sprintf("kube-api-access-%05x", number)),
		Status: podStatus(number, node, now),
	}
}

func managedBy(manager, subresource, fields string, now meta.Time) meta.ManagedFieldsEntry {
	return meta.ManagedFieldsEntry{
		Manager: manager, Operation: meta.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &now,
		Subresource: subresource, FieldsType: "FieldsV1", FieldsV1: &meta.FieldsV1{Raw: []byte(fields)},
	}
}

func podSpec(node, token string) core.PodSpec {
	grace, seconds, priority, yes := int64(30), int64(300), int32(0), true
	preempt := core.PreemptLowerPriority
	probe := func(path string) *core.Probe {
		return &core.Probe{
			ProbeHandler: core.ProbeHandler{
				HTTPGet: &core.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: core.URISchemeHTTP},
			},
			TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3,
		}
	}
	fromField := func(name, path string) core.EnvVar {
		return core.EnvVar{Name: name, ValueFrom: &core.EnvVarSource{
			FieldRef: &core.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
		}}
	}
	mounts := []core.VolumeMount{
		{Name: token, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"},
	}
	resources := core.ResourceRequirements{
		Limits:   core.ResourceList{core.ResourceMemory: resource.MustParse("512Mi")},
		Requests: core.ResourceList{core.ResourceCPU: resource.MustParse("250m"), core.ResourceMemory: resource.MustParse("256Mi")},
	}
	expires, mode := int64(3607), int32(420)
	return core.PodSpec{
		NodeName: node, ServiceAccountName: "web", DeprecatedServiceAccount: "web", EnableServiceLinks: &yes,
		RestartPolicy: core.RestartPolicyAlways, DNSPolicy: core.DNSClusterFirst, TerminationGracePeriodSeconds: &grace,
		SecurityContext: &core.PodSecurityContext{}, SchedulerName: "default-scheduler", Priority: &priority,
		PreemptionPolicy: &preempt,
		Tolerations: []core.Toleration{
			{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds},
			{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds},
		},
		Volumes: []core.Volume{
			{Name: "config", VolumeSource: core.VolumeSource{ConfigMap: &core.ConfigMapVolumeSource{
				LocalObjectReference: core.LocalObjectReference{Name: "web"}, DefaultMode: &mode,
			}}},
			{Name: token, VolumeSource: core.VolumeSource{Projected: &core.ProjectedVolumeSource{
				DefaultMode: &mode,
				Sources: []core.VolumeProjection{
					{ServiceAccountToken: &core.ServiceAccountTokenProjection{ExpirationSeconds: &expires, Path: "token"}},
					{ConfigMap: &core.ConfigMapProjection{
						LocalObjectReference: core.LocalObjectReference{Name: "kube-root-ca.crt"},
						Items:                []core.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
					}},
				},
			}}},
		},
		Containers: []core.Container{
			{
				Name: "web", Image: "registry.example.com/shop/web:1.4.2", ImagePullPolicy: core.PullIfNotPresent,
				Ports: []core.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: core.ProtocolTCP}},
				Env: []core.EnvVar{
					{Name: "LOG_LEVEL", Value: "info"}, {Name: "DATABASE_URL", Value: "postgres://db.shop.svc:5432/shop"}, fromField("POD_NAME", "metadata.name"),
				},
				Resources: resources, LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/ready"),
				VolumeMounts:           append([]core.VolumeMount{{Name: "config", MountPath: "/etc/web"}}, mounts...),
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: core.TerminationMessageReadFile,
			},
			{
				Name: "proxy", Image: "registry.example.com/mesh/proxy:1.22.0", ImagePullPolicy: core.PullIfNotPresent,
				Args:  []string{"proxy", "sidecar", "--domain", "shop.svc.cluster.local", "--concurrency", "2"},
				Ports: []core.ContainerPort{{Name: "http-envoy-prom", ContainerPort: 15090, Protocol: core.ProtocolTCP}},
				Env:   []core.EnvVar{fromField("POD_IP", "status.podIP")}, Resources: resources,
				VolumeMounts:           mounts,
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: core.TerminationMessageReadFile,
			},
		},
	}
}

func podStatus(number, node int, now meta.Time) core.PodStatus {
	ready, yes := number%10 != 9, true
	is := map[bool]core.ConditionStatus{true: core.ConditionTrue, false: core.ConditionFalse}
	status := core.PodStatus{
		Phase: core.PodRunning, HostIP: fmt.Sprintf("192.168.%d.%d", node>>8, node&255), PodIP: address(number), StartTime: &now,
		PodIPs: []core.PodIP{{IP: address(number)}}, QOSClass: core.PodQOSBurstable,
	}
	status.HostIPs = []core.HostIP{{IP: status.HostIP}}
	for _, kind := range []core.PodConditionType{
		core.PodReadyToStartContainers, core.PodInitialized, core.PodReady, core.ContainersReady, core.PodScheduled,
	} {
		good := ready || (kind != core.PodReady && kind != core.ContainersReady)
		status.Conditions = append(status.Conditions, core.PodCondition{Type: kind, Status: is[good], LastTransitionTime: now})
	}
	for index, name := range []string{"web", "proxy"} {
		status.ContainerStatuses = append(status.ContainerStatuses, core.ContainerStatus{
			Name: name, Ready: ready, Started: &yes, Image: "registry.example.com/shop/" + name + ":1.4.2",
			ImageID:     "registry.example.com/shop/" + name + "@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			ContainerID: fmt.Sprintf("containerd://%064x", number*2+index),
			State:       core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: now}},
		})
	}
	return status
}
