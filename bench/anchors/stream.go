package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// view is what a watch sees: the objects as they were at a version, and which events concern it.
type view struct {
	kind, group string
	objects     []any
	version     int
	wanted      func(labels.Set) bool
}

// stream answers a watch: the objects as they are, where that was asked for, then the log from a version on.
func (s *scene) stream(w http.ResponseWriter, r *http.Request, v view) {
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w).Flush
	version, _ := strconv.Atoi(r.FormValue("resourceVersion"))
	s.lock.Lock()
	era := s.era
	s.lock.Unlock()
	bookmark := func(annotations string) {
		fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d"%s}}}`+"\n",
			v.kind, v.group, version, annotations)
	}
	initial := r.FormValue("sendInitialEvents") == "true"
	if initial || version == 0 {
		for _, object := range v.objects {
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "ADDED", "object": object})
		}
		version = v.version
	}
	if initial {
		bookmark(`,"annotations":{"k8s.io/initial-events-end":"true"}`)
	}
	limit, _ := strconv.Atoi(r.FormValue("timeoutSeconds"))
	if limit == 0 {
		limit = 1800
	}
	end, tick := time.After(time.Duration(limit)*time.Second), time.NewTicker(20*time.Second)
	defer tick.Stop()
	asked := map[string]bool{}
	for {
		events, news := s.since(version)
		for i := range events {
			service := events[i].labels[discovery.LabelServiceName]
			send, known := asked[service]
			if !known {
				send = v.wanted(events[i].labels)
				asked[service] = send
			}
			if version = events[i].version; send {
				if _, err := w.Write(events[i].line); err != nil {
					return
				}
			}
		}
		if flush() != nil {
			return
		}
		select {
		case <-news:
		case <-tick.C:
			if r.FormValue("allowWatchBookmarks") == "true" {
				bookmark("")
			}
		case <-era:
			return
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}
