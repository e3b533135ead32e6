// Doubles of what k3s deploys into every cluster: CoreDNS, Traefik and the local-path provisioner. They run as pods,
// from images of their own, in one binary whose first argument says which.
package main

import (
	"fmt"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var doubles = map[string]func(kubernetes.Interface) error{
	"coredns":                answerNames,
	"local-path-provisioner": provideVolumes,
	"traefik":                passRequests,
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "pause" {
		select {}
	}
	if len(os.Args) != 2 || doubles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "one of coredns, local-path-provisioner, traefik and pause is wanted")
		os.Exit(2)
	}
	config, err := rest.InClusterConfig()
	if err == nil {
		config.QPS, config.Burst = 50, 100
		var client *kubernetes.Clientset
		if client, err = kubernetes.NewForConfig(config); err == nil {
			err = doubles[os.Args[1]](client)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
