// Command anchors holds what the benchmarks measure against, and what feeds both sides: client-go informers, a loader
// and a writer for a real API server, and a server that replays recorded events. One subcommand each; results are JSON
// lines on stdout, anything wrong ends it with a message on stderr.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const protobuf = "application/vnd.kubernetes.protobuf"

var commands = map[string]func(*flag.FlagSet, []string) error{
	"sync":     syncAnchor,
	"latency":  latencyAnchor,
	"replay":   replayAnchor,
	"load":     load,
	"pods":     podsAnchor,
	"loadpods": loadPods,
	"write":    write,
	"serve":    serve,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		log.Fatalf("usage: %s sync|pods|latency|replay|load|loadpods|write|serve [flags]", os.Args[0])
	}
	name := os.Args[1]
	if err := commands[name](flag.NewFlagSet(name, flag.ExitOnError), os.Args[2:]); err != nil {
		log.Fatalf("anchors %s: %v", name, err)
	}
}

// access reads a kubeconfig into a client without client-go's own rate limit, which is off for informers anyway.
func access(kubeconfig, contentType, agent string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.ContentType, config.UserAgent, config.QPS = contentType, agent, -1
	if contentType == protobuf {
		config.AcceptContentTypes = protobuf + ",application/json"
	}
	return kubernetes.NewForConfig(rest.CopyConfig(config))
}

// monotonic is the clock that every process of this machine shares, in nanoseconds.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}

func report(value any) error {
	line, err := json.Marshal(value)
	if err == nil {
		_, err = fmt.Println(string(line))
	}
	return err
}
