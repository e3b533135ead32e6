package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const bridged = `{"cniVersion": "0.4.0", "name": "cbr0", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "%s"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`

// routes KUBECONFIG NODE FILE: in flannel's place. Writes the CNI configuration for this node's range of pods to FILE,
// and keeps routes to those of the others through their own addresses.
func routes(arguments []string) error {
	if len(arguments) != 3 {
		return errors.New("k3s-routes: a kubeconfig, a node and a file are wanted")
	}
	config, err := clientcmd.BuildConfigFromFlags("", arguments[0])
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	done := map[string]string{}
	for ; ; time.Sleep(time.Second) {
		nodes, err := client.CoreV1().Nodes().List(context.TODO(), meta.ListOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		for _, node := range nodes.Items {
			pods, address := node.Spec.PodCIDR, internal(node)
			if pods == "" || done[pods] == address {
				continue
			}
			if node.Name == arguments[1] {
				err = os.WriteFile(arguments[2], []byte(fmt.Sprintf(bridged, pods)), 0o644)
			} else {
				err = exec.Command("ip", "route", "replace", pods, "via", address).Run()
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				continue
			}
			done[pods] = address
		}
	}
}

func internal(node core.Node) string {
	for _, each := range node.Status.Addresses {
		if each.Type == core.NodeInternalIP {
			return each.Address
		}
	}
	return ""
}
