package main

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// controller is whom the API server should take us for: its name goes into managedFields.
const controller = "kube-controller-manager/v1.36.3 (linux/amd64) kubernetes/endpointslice-controller"

// load fills a namespace with Services' slices (not the Services: nothing here reads them), many writers at once.
func load(flags *flag.FlagSet, args []string) error {
	kubeconfig := flags.String("kubeconfig", "", "")
	namespace := flags.String("namespace", "bench", "")
	prefix := flags.String("prefix", "svc", "")
	services := flags.Int("services", 10, "")
	endpoints := flags.Int("endpoints", 10, "of each service")
	writers := flags.Int("writers", 64, "")
	flags.Parse(args)
	client, err := access(*kubeconfig, protobuf, controller)
	if err != nil {
		return err
	}
	ctx := context.Background()
	space := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: *namespace}}
	_, err = client.CoreV1().Namespaces().Create(ctx, space, meta.CreateOptions{})
	if err != nil && !errors.IsAlreadyExists(err) {
		return err
	}
	start := time.Now()
	if err := atOnce(*writers, *services, func(index int) error {
		slice := endpointSlice(*namespace, fmt.Sprintf("%s-%05d", *prefix, index), index**endpoints, *endpoints)
		_, err := client.DiscoveryV1().EndpointSlices(*namespace).Create(ctx, slice, meta.CreateOptions{})
		return err
	}); err != nil {
		return err
	}
	return report(map[string]any{"slices": *services, "seconds": time.Since(start).Seconds()})
}

// atOnce does so many things, numbered from 0, by so many writers; it returns the first error.
func atOnce(writers, count int, do func(number int) error) error {
	var group sync.WaitGroup
	var next atomic.Int64
	failures := make(chan error, writers)
	for range writers {
		group.Go(func() {
			for number := int(next.Add(1)) - 1; number < count; number = int(next.Add(1)) - 1 {
				if err := do(number); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failures)
	return <-failures
}

// write changes the slices of a namespace in turn at an even rate: endpoint 0's hostname becomes the time of the write.
func write(flags *flag.FlagSet, args []string) error {
	kubeconfig := flags.String("kubeconfig", "", "")
	namespace := flags.String("namespace", "bench", "")
	rate := flags.Int("rate", 100, "writes a second")
	seconds := flags.Int("seconds", 20, "")
	flags.Parse(args)
	client, err := access(*kubeconfig, "application/json", controller)
	if err != nil {
		return err
	}
	ctx, api := context.Background(), client.DiscoveryV1().EndpointSlices(*namespace)
	slices, err := api.List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	var failed atomic.Int64
	ticker := time.NewTicker(time.Second / time.Duration(*rate))
	defer ticker.Stop()
	for number := range *rate * *seconds {
		<-ticker.C
		name := slices.Items[number%len(slices.Items)].Name
		group.Go(func() {
			patch := fmt.Sprintf(`[{"op":"add","path":"/endpoints/0/hostname","value":"t%d"}]`, monotonic())
			if _, err := api.Patch(ctx, name, types.JSONPatchType, []byte(patch), meta.PatchOptions{}); err != nil {
				failed.Add(1)
			}
		})
	}
	group.Wait()
	return report(map[string]any{"writes": *rate * *seconds, "failed": failed.Load()})
}
