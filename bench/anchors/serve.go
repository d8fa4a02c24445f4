package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// serve is an API server as far as EndpointSlices and Services go, in JSON. /bench/* sets events going.
func serve(flags *flag.FlagSet, args []string) error {
	namespace := flags.String("namespace", "bench", "")
	rounds := flags.Int("record", 0, "events to record for each slice")
	flags.Parse(args)
	all := &scene{}
	for _, spec := range flags.Args() {
		if err := all.add(*namespace, spec); err != nil {
			return err
		}
	}
	all.record(*rounds)
	all.reset()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	size := 0
	for _, event := range all.recorded {
		size += len(event.line)
	}
	if err := report(map[string]any{
		"url": "http://" + listener.Addr().String(), "events": len(all.recorded), "bytes": size,
		"last": strconv.Itoa(len(all.initial) + len(all.recorded)),
	}); err != nil {
		return err
	}
	return http.Serve(listener, routes(all))
}

func routes(all *scene) *http.ServeMux {
	mux := http.NewServeMux()
	for _, path := range []string{"", "namespaces/{namespace}/"} {
		mux.HandleFunc("GET /apis/discovery.k8s.io/v1/"+path+"endpointslices", all.serveSlices)
		mux.HandleFunc("GET /api/v1/"+path+"services", all.serveServices)
	}
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/services/{name}", all.serveService)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]string{"major": "1", "minor": "36", "gitVersion": "v1.36.3", "platform": "linux/amd64"})
	})
	mux.HandleFunc("POST /bench/replay", func(w http.ResponseWriter, _ *http.Request) { all.replay() })
	mux.HandleFunc("POST /bench/reset", func(w http.ResponseWriter, _ *http.Request) { all.reset() })
	mux.HandleFunc("POST /bench/flip", func(w http.ResponseWriter, r *http.Request) {
		after, _ := time.ParseDuration(r.FormValue("after"))
		time.AfterFunc(after, func() { all.flip(r.FormValue("service")) })
	})
	mux.HandleFunc("GET /bench/stamps", func(w http.ResponseWriter, _ *http.Request) {
		all.lock.Lock()
		defer all.lock.Unlock()
		answer(w, 200, all.stamps)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { missing(w, r.URL.Path) })
	return mux
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func missing(w http.ResponseWriter, what string) {
	answer(w, 404, meta.Status{
		TypeMeta: meta.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   "Failure", Reason: meta.StatusReasonNotFound, Code: 404, Message: what + " not found",
	})
}

// chosen is the objects that a request's path and selectors ask for.
func chosen[T meta.Object](r *http.Request, objects []T) ([]T, func(labels.Set) bool) {
	byLabel, labelError := labels.Parse(r.FormValue("labelSelector"))
	byField, fieldError := fields.ParseSelector(r.FormValue("fieldSelector"))
	found := []T{}
	if labelError != nil || fieldError != nil {
		return found, func(labels.Set) bool { return false }
	}
	for _, object := range objects {
		names := fields.Set{"metadata.name": object.GetName(), "metadata.namespace": object.GetNamespace()}
		if in := r.PathValue("namespace"); (in == "" || in == object.GetNamespace()) && byField.Matches(names) &&
			byLabel.Matches(labels.Set(object.GetLabels())) {
			found = append(found, object)
		}
	}
	return found, func(set labels.Set) bool { return byLabel.Matches(set) }
}

func (s *scene) serveService(w http.ResponseWriter, r *http.Request) {
	found, _ := chosen(r, s.services)
	for _, service := range found {
		if service.Name == r.PathValue("name") {
			answer(w, 200, typed(service))
			return
		}
	}
	missing(w, fmt.Sprintf("services %q", r.PathValue("name")))
}

func typed(service *core.Service) *core.Service {
	service = service.DeepCopy()
	service.TypeMeta = meta.TypeMeta{Kind: "Service", APIVersion: "v1"}
	return service
}

func (s *scene) serveServices(w http.ResponseWriter, r *http.Request) {
	found, _ := chosen(r, s.services)
	if watching(r) {
		objects := make([]any, 0, len(found))
		for _, service := range found {
			objects = append(objects, typed(service))
		}
		s.stream(w, r, view{"Service", "v1", objects, 1, func(labels.Set) bool { return false }})
		return
	}
	list := core.ServiceList{TypeMeta: meta.TypeMeta{Kind: "ServiceList", APIVersion: "v1"}}
	list.ResourceVersion, list.Items = "1", make([]core.Service, 0, len(found))
	for _, service := range found {
		list.Items = append(list.Items, *service)
	}
	answer(w, 200, list)
}

func (s *scene) serveSlices(w http.ResponseWriter, r *http.Request) {
	s.lock.Lock()
	version := s.version
	found, wanted := chosen(r, s.slices)
	s.lock.Unlock()
	if watching(r) {
		objects := make([]any, 0, len(found))
		for _, slice := range found {
			slice = slice.DeepCopy()
			slice.TypeMeta = meta.TypeMeta{Kind: "EndpointSlice", APIVersion: "discovery.k8s.io/v1"}
			objects = append(objects, slice)
		}
		s.stream(w, r, view{"EndpointSlice", "discovery.k8s.io/v1", objects, version, wanted})
		return
	}
	list := discovery.EndpointSliceList{TypeMeta: meta.TypeMeta{Kind: "EndpointSliceList", APIVersion: "discovery.k8s.io/v1"}}
	list.ResourceVersion, list.Items = strconv.Itoa(version), make([]discovery.EndpointSlice, 0, len(found))
	for _, slice := range found {
		list.Items = append(list.Items, *slice)
	}
	answer(w, 200, list)
}

func watching(r *http.Request) bool {
	watch := strings.ToLower(r.FormValue("watch"))
	return watch == "1" || watch == "true"
}
