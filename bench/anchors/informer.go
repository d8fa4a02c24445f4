package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// informer is the shared informer that a Go program would use, indexed by Service.
func informer(client kubernetes.Interface, namespace string) cache.SharedIndexInformer {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	shared := factory.Discovery().V1().EndpointSlices().Informer()
	byService := func(object any) ([]string, error) {
		slice := object.(*discovery.EndpointSlice)
		return []string{slice.Namespace + "/" + slice.Labels[discovery.LabelServiceName]}, nil
	}
	if err := shared.AddIndexers(cache.Indexers{"service": byService}); err != nil {
		panic(err)
	}
	return shared
}

// run starts an informer and returns once it holds everything.
func run(ctx context.Context, shared cache.SharedIndexInformer) {
	go shared.RunWithContext(ctx)
	for !shared.HasSynced() {
		time.Sleep(time.Millisecond)
	}
}

// syncAnchor times the first sync, in a process that has its access configured and has made one small request.
func syncAnchor(flags *flag.FlagSet, args []string) error {
	kubeconfig := flags.String("kubeconfig", "", "")
	namespace := flags.String("namespace", "bench", "")
	contentType := flags.String("content", protobuf, "")
	flags.Parse(args)
	client, err := access(*kubeconfig, *contentType, "anchor")
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := client.DiscoveryV1().EndpointSlices("default").List(ctx, meta.ListOptions{}); err != nil {
		return err
	}
	before, err := memory("VmRSS")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200); err != nil {
		return err
	}
	shared, start := informer(client, *namespace), time.Now()
	run(ctx, shared)
	elapsed := time.Since(start)
	after, _ := memory("VmRSS")
	peak, _ := memory("VmHWM")
	time.Sleep(2 * time.Second)
	settled, _ := memory("VmRSS")
	slices, endpoints := shared.GetStore().List(), 0
	for _, object := range slices {
		endpoints += len(object.(*discovery.EndpointSlice).Endpoints)
	}
	return report(map[string]any{
		"seconds": elapsed.Seconds(), "slices": len(slices), "endpoints": endpoints,
		"before_kb": before, "after_kb": after, "settled_kb": settled, "peak_kb": peak,
	})
}

// memory is a line of /proc/self/status, in kB.
func memory(field string) (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), field+":")
	if !found {
		return 0, fmt.Errorf("no %s in /proc/self/status", field)
	}
	return strconv.Atoi(strings.Fields(rest)[0])
}

// latencyAnchor says how long after each write its handler ran: endpoint 0's hostname is "t" and the time of the write.
func latencyAnchor(flags *flag.FlagSet, args []string) error {
	kubeconfig := flags.String("kubeconfig", "", "")
	namespace := flags.String("namespace", "bench", "")
	flags.Parse(args)
	client, err := access(*kubeconfig, protobuf, "anchor")
	if err != nil {
		return err
	}
	var lock sync.Mutex
	seen := map[string]int64{}
	shared := informer(client, *namespace)
	handle := func(_, object any) {
		now, slice := monotonic(), object.(*discovery.EndpointSlice)
		if name := slice.Endpoints[0].Hostname; name != nil && strings.HasPrefix(*name, "t") {
			written, _ := strconv.ParseInt((*name)[1:], 10, 64)
			lock.Lock()
			seen[*name] = now - written
			lock.Unlock()
		}
	}
	if _, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: handle}); err != nil {
		return err
	}
	run(context.Background(), shared)
	if err := report(map[string]any{"ready": len(shared.GetStore().List())}); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, bufio.NewReader(os.Stdin)); err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	return report(map[string]any{"latencies": seen})
}

// replayAnchor counts how fast a handler that keeps each Service's backends takes the events of a replay server.
func replayAnchor(flags *flag.FlagSet, args []string) error {
	kubeconfig := flags.String("kubeconfig", "", "")
	server := flags.String("server", "", "the replay server's URL")
	namespace := flags.String("namespace", "bench", "")
	last := flags.String("last", "", "the resource version of the last event")
	flags.Parse(args)
	client, err := access(*kubeconfig, "application/json", "anchor")
	if err != nil {
		return err
	}
	type backend struct {
		address string
		port    int32
	}
	backends, events, done := map[string]map[string][]backend{}, 0, make(chan struct{})
	handle := func(object any) {
		slice := object.(*discovery.EndpointSlice)
		service := slice.Labels[discovery.LabelServiceName]
		usable := make([]backend, 0, len(slice.Endpoints))
		for i := range slice.Endpoints {
			if ready := slice.Endpoints[i].Conditions.Ready; ready == nil || *ready {
				usable = append(usable, backend{slice.Endpoints[i].Addresses[0], *slice.Ports[0].Port})
			}
		}
		if backends[service] == nil {
			backends[service] = map[string][]backend{}
		}
		backends[service][slice.Name] = usable
		if events++; slice.ResourceVersion == *last {
			close(done)
		}
	}
	shared := informer(client, *namespace)
	registration, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: handle, UpdateFunc: func(_, object any) { handle(object) },
	})
	if err != nil {
		return err
	}
	run(context.Background(), shared)
	for !registration.HasSynced() {
		time.Sleep(time.Millisecond)
	}
	synced, start := events, time.Now()
	response, err := http.Post(*server+"/bench/replay", "application/json", bytes.NewReader(nil))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	<-done
	return report(map[string]any{"seconds": time.Since(start).Seconds(), "events": events - synced, "services": len(backends)})
}
