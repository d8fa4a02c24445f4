package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
)

// loadPods puts pods where the API server keeps them, in etcd and in its form: through the API each would take three
// writes, since only a kubelet may give a pod its status.
func loadPods(flags *flag.FlagSet, args []string) error {
	etcd := flags.String("etcd", "", "its client URL")
	namespace := flags.String("namespace", "bench", "")
	count := flags.Int("pods", 10, "")
	writers := flags.Int("writers", 16, "")
	flags.Parse(args)
	encoder := scheme.Codecs.EncoderForVersion(serializer.NewSerializer(scheme.Scheme, scheme.Scheme), core.SchemeGroupVersion)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *writers}}
	put := func(number int) error {
		var stored bytes.Buffer
		one := pod(*namespace, number)
		if err := encoder.Encode(one, &stored); err != nil {
			return err
		}
		key := fmt.Sprintf("/registry/pods/%s/%s", one.Namespace, one.Name)
		body, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": stored.Bytes()})
		if err != nil {
			return err
		}
		response, err := client.Post(*etcd+"/v3/kv/put", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		said, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("etcd: %s %s", response.Status, said)
		}
		return nil
	}
	start := time.Now()
	if err := atOnce(*writers, *count, put); err != nil {
		return err
	}
	return report(map[string]any{"pods": *count, "seconds": time.Since(start).Seconds()})
}

// trimmed keeps of a pod what discovery needs: the transform that a Go program with many pods would set.
func trimmed(object any) (any, error) {
	whole, ok := object.(*core.Pod)
	if !ok {
		return object, nil
	}
	kept := &core.Pod{
		ObjectMeta: meta.ObjectMeta{
			Name: whole.Name, Namespace: whole.Namespace, UID: whole.UID, ResourceVersion: whole.ResourceVersion,
			Labels: whole.Labels, DeletionTimestamp: whole.DeletionTimestamp,
		},
		Spec: core.PodSpec{NodeName: whole.Spec.NodeName, Hostname: whole.Spec.Hostname},
		Status: core.PodStatus{
			Phase: whole.Status.Phase, PodIP: whole.Status.PodIP, PodIPs: whole.Status.PodIPs,
		},
	}
	for _, one := range whole.Status.Conditions {
		kept.Status.Conditions = append(kept.Status.Conditions, core.PodCondition{Type: one.Type, Status: one.Status})
	}
	for _, one := range whole.Spec.Containers {
		kept.Spec.Containers = append(kept.Spec.Containers, core.Container{Name: one.Name, Ports: one.Ports})
	}
	for _, one := range whole.Spec.InitContainers {
		kept.Spec.InitContainers = append(
			kept.Spec.InitContainers, core.Container{Name: one.Name, Ports: one.Ports, RestartPolicy: one.RestartPolicy},
		)
	}
	return kept, nil
}

// podsAnchor times the first sync of a pod informer by selector, in a process that has its access configured.
func podsAnchor(flags *flag.FlagSet, args []string) error {
	kubeconfig := flags.String("kubeconfig", "", "")
	namespace := flags.String("namespace", "bench", "")
	selector := flags.String("selector", "app=web", "")
	flags.Parse(args)
	client, err := access(*kubeconfig, protobuf, "anchor")
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := client.CoreV1().Pods("default").List(ctx, meta.ListOptions{}); err != nil {
		return err
	}
	before, err := memory("VmRSS")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(
		client, 0, informers.WithNamespace(*namespace), informers.WithTransform(trimmed),
		informers.WithTweakListOptions(func(options *meta.ListOptions) { options.LabelSelector = *selector }),
	)
	shared := factory.Core().V1().Pods().Informer()
	usable := 0
	registration, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
		for _, condition := range object.(*core.Pod).Status.Conditions {
			if condition.Type == core.PodReady && condition.Status == core.ConditionTrue {
				usable++
			}
		}
	}})
	if err != nil {
		return err
	}
	start := time.Now()
	run(ctx, shared)
	for !registration.HasSynced() {
		time.Sleep(time.Millisecond)
	}
	elapsed := time.Since(start)
	after, _ := memory("VmRSS")
	peak, _ := memory("VmHWM")
	time.Sleep(2 * time.Second)
	settled, _ := memory("VmRSS")
	debug.FreeOSMemory() // nobody calls it: this only tells what the pods themselves take
	collected, _ := memory("VmRSS")
	return report(map[string]any{
		"seconds": elapsed.Seconds(), "collected_kb": collected, "pods": len(shared.GetStore().ListKeys()), "ready": usable,
		"before_kb": before, "after_kb": after, "settled_kb": settled, "peak_kb": peak,
	})
}
