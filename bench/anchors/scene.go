package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// event is a line of a watch, ready to be sent.
type event struct {
	version int
	labels  labels.Set
	line    []byte
}

// scene is the state of the simulated API: its objects, and every event since the start, which watches read from.
type scene struct {
	lock     sync.Mutex
	initial  []*discovery.EndpointSlice
	slices   []*discovery.EndpointSlice
	services []*core.Service
	version  int
	log      []event
	news     chan struct{} // closed when the log has grown
	era      chan struct{} // closed by a reset: streams end
	recorded []event
	after    []*discovery.EndpointSlice // the state once the recording was sent
	flips    map[string]int
	stamps   []int64
}

// add makes the services of NAME:COUNTxSLICESxENDPOINTS[@A.B.C:PORT]; the last gives the addresses A.B.C.1 and on.
func (s *scene) add(namespace, spec string) error {
	name, shape, _ := strings.Cut(spec, ":")
	shape, place, placed := strings.Cut(shape, "@")
	var count, parts, endpoints, port int
	if _, err := fmt.Sscanf(shape, "%dx%dx%d", &count, &parts, &endpoints); err != nil {
		return fmt.Errorf("%q is not NAME:COUNTxSLICESxENDPOINTS: %w", spec, err)
	}
	prefix, text, _ := strings.Cut(place, ":")
	if placed {
		number, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		port = number
	}
	for index := range count {
		service := name
		if count > 1 {
			service = fmt.Sprintf("%s-%05d", name, index)
		}
		s.services = append(s.services, serviceObject(namespace, service, len(s.services)))
		for part := range parts {
			slice := endpointSlice(namespace, service, (index*parts+part)*endpoints, endpoints)
			for i := range slice.Endpoints {
				if placed {
					slice.Endpoints[i].Addresses[0] = fmt.Sprintf("%s.%d", prefix, i+1)
					*slice.Ports[0].Port = int32(port)
				}
			}
			s.version++
			slice = stored(slice, s.version)
			slice.ResourceVersion = strconv.Itoa(s.version)
			s.initial = append(s.initial, slice)
		}
	}
	return nil
}

func serviceObject(namespace, name string, number int) *core.Service {
	ip := fmt.Sprintf("10.96.%d.%d", number>>8, number&255)
	return &core.Service{
		ObjectMeta: meta.ObjectMeta{Name: name, Namespace: namespace, UID: uid(1, number), ResourceVersion: "1"},
		Spec: core.ServiceSpec{
			Type: core.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, Selector: map[string]string{"app": name},
			Ports: []core.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: core.ProtocolTCP}},
		},
	}
}

// reset goes back to the state before any event, and ends the streams.
func (s *scene) reset() {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.era != nil {
		close(s.era)
	}
	s.news, s.era = make(chan struct{}), make(chan struct{})
	s.slices, s.log, s.version = append(s.slices[:0:0], s.initial...), nil, len(s.initial)
	s.stamps, s.flips = nil, map[string]int{}
}

func modified(slice *discovery.EndpointSlice, version int) event {
	slice.ResourceVersion = strconv.Itoa(version)
	slice.TypeMeta = meta.TypeMeta{Kind: "EndpointSlice", APIVersion: "discovery.k8s.io/v1"}
	object, err := json.Marshal(slice)
	if err != nil {
		panic(err)
	}
	slice.TypeMeta = meta.TypeMeta{}
	line := append(append([]byte(`{"type":"MODIFIED","object":`), object...), "}\n"...)
	return event{version, slice.Labels, line}
}

// record makes `rounds` events for every slice, in turn: in each, one endpoint moves to another address, or ceases to be
// ready, and is ready again in the next. The last gives endpoint 0 an address of 10.255.0.0/16.
func (s *scene) record(rounds int) {
	s.after, s.recorded = append(s.after[:0:0], s.initial...), make([]event, 0, rounds*len(s.initial))
	for round := range rounds {
		for i, slice := range s.after {
			slice = slice.DeepCopy()
			target, before := round%len(slice.Endpoints), max(round-1, 0)%len(slice.Endpoints)
			switch {
			case round == rounds-1:
				slice.Endpoints[0].Addresses[0] = fmt.Sprintf("10.255.%d.%d", i>>8, i&255)
				setReady(slice, 0, true)
			case round%4 == 2:
				setReady(slice, target, false)
			case round%4 == 3:
				setReady(slice, before, true)
			default:
				slice.Endpoints[target].Addresses[0] = fmt.Sprintf("10.%d.%d.%d", 128+round%100, i>>8, i&255)
			}
			slice.Generation++
			s.after[i] = slice
			s.recorded = append(s.recorded, modified(slice, len(s.initial)+len(s.recorded)+1))
		}
	}
}

func setReady(slice *discovery.EndpointSlice, endpoint int, ready bool) {
	conditions := &slice.Endpoints[endpoint].Conditions
	conditions.Ready, conditions.Serving = &ready, &ready
}

// publish appends to the log and wakes the streams. The caller holds the lock.
func (s *scene) publish(events ...event) {
	s.log = append(s.log, events...)
	s.version = events[len(events)-1].version
	close(s.news)
	s.news = make(chan struct{})
}

func (s *scene) replay() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.slices = s.after
	s.publish(s.recorded...)
}

// flip makes an endpoint of a service not ready, and at the next call ready again, one slice after the other.
func (s *scene) flip(service string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	var own []int
	for i, slice := range s.slices {
		if slice.Labels[discovery.LabelServiceName] == service {
			own = append(own, i)
		}
	}
	turn := s.flips[service]
	s.flips[service]++
	i := own[turn/2%len(own)]
	slice := s.slices[i].DeepCopy()
	setReady(slice, turn/2%len(slice.Endpoints), turn%2 == 1)
	s.slices[i] = slice
	change := modified(slice, s.version+1)
	s.stamps = append(s.stamps, monotonic())
	s.publish(change)
}

// since is the events after a version, and what tells of more.
func (s *scene) since(version int) ([]event, <-chan struct{}) {
	s.lock.Lock()
	defer s.lock.Unlock()
	first := sort.Search(len(s.log), func(i int) bool { return s.log[i].version > version })
	return s.log[first:len(s.log):len(s.log)], s.news
}
