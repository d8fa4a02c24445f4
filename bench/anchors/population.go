package main

import (
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What is written is what the endpointslice controller writes for a Deployment behind a Service. Everything follows
// from numbers, so that a reader can tell what is right without asking: bench/population.py holds the same formulas.

func uid(kind, number int) types.UID {
	return types.UID(fmt.Sprintf("%08x-5d1c-4b7e-9f00-%012x", kind, number))
}

func address(number int) string {
	return fmt.Sprintf("10.%d.%d.%d", 64+number>>16, number>>8&255, number&255)
}

func endpoint(namespace, service string, number int) discovery.Endpoint {
	yes, no := true, false
	node := number % 200
	name, zone := fmt.Sprintf("node-%03d", node), "zone-"+string(rune('a'+node%3))
	return discovery.Endpoint{
		Addresses:  []string{address(number)},
		Conditions: discovery.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		NodeName:   &name,
		Zone:       &zone,
		TargetRef: &core.ObjectReference{
			Kind: "Pod", Namespace: namespace, Name: fmt.Sprintf("%s-6d4cf56db6-%05x", service, number), UID: uid(2, number),
		},
	}
}

// endpointSlice holds the endpoints numbered from first on.
func endpointSlice(namespace, service string, first, count int) *discovery.EndpointSlice {
	yes := true
	name, port, protocol := "http", int32(8080), core.ProtocolTCP
	slice := &discovery.EndpointSlice{
		ObjectMeta: meta.ObjectMeta{
			GenerateName: service + "-",
			Namespace:    namespace,
			Labels: map[string]string{
				"app":                      service,
				discovery.LabelServiceName: service,
				discovery.LabelManagedBy:   "endpointslice-controller.k8s.io",
			},
			Annotations: map[string]string{core.EndpointsLastChangeTriggerTime: "2026-01-01T00:00:00Z"},
			OwnerReferences: []meta.OwnerReference{{
				APIVersion: "v1", Kind: "Service", Name: service, UID: uid(1, first), Controller: &yes, BlockOwnerDeletion: &yes,
			}},
		},
		AddressType: discovery.AddressTypeIPv4,
		Ports:       []discovery.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
	}
	for number := first; number < first+count; number++ {
		slice.Endpoints = append(slice.Endpoints, endpoint(namespace, service, number))
	}
	return slice
}

const managed = `{"f:addressType":{},"f:endpoints":{},"f:metadata":{"f:annotations":{".":{},` +
	`"f:endpoints.kubernetes.io/last-change-trigger-time":{}},"f:generateName":{},"f:labels":{".":{},"f:app":{},` +
	`"f:endpointslice.kubernetes.io/managed-by":{},"f:kubernetes.io/service-name":{}},"f:ownerReferences":{".":{},` +
	`"k:{\"uid\":\"%s\"}":{}}},"f:ports":{}}`

// stored adds what the API server adds to an object it keeps.
func stored(slice *discovery.EndpointSlice, number int) *discovery.EndpointSlice {
	now := meta.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	slice.Name = fmt.Sprintf("%s%05x", slice.GenerateName, number)
	slice.UID, slice.Generation, slice.CreationTimestamp = uid(3, number), 1, now
	slice.ManagedFields = []meta.ManagedFieldsEntry{{
		Manager: "kube-controller-manager", Operation: meta.ManagedFieldsOperationUpdate, APIVersion: "discovery.k8s.io/v1",
		Time: &now, FieldsType: "FieldsV1",
		FieldsV1: &meta.FieldsV1{Raw: fmt.Appendf(nil, managed, slice.OwnerReferences[0].UID)},
	}}
	return slice
}
