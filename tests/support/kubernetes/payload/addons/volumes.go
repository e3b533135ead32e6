package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	class       = "local-path"
	chosenNode  = "volume.kubernetes.io/selected-node"
	provisioner = "rancher.io/local-path"
)

// provideVolumes gives every claim of its class a folder on the node that the scheduler chose for its first pod. It runs
// on every node, where the real one runs once and sends a pod to the node.
func provideVolumes(client kubernetes.Interface) error {
	here := os.Getenv("NODE")
	for ; ; time.Sleep(time.Second) {
		claims, err := client.CoreV1().PersistentVolumeClaims("").List(context.TODO(), meta.ListOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		for index := range claims.Items {
			claim := &claims.Items[index]
			node := claim.Annotations[chosenNode]
			if claim.Spec.VolumeName != "" || claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName != class || node != here {
				continue
			}
			volume := volumeFor(claim, node)
			// whoever the pod runs as may write there: the owner of a folder of the node is not changed for a pod
			err := os.MkdirAll(volume.Spec.HostPath.Path, 0o777)
			if err == nil {
				err = os.Chmod(volume.Spec.HostPath.Path, 0o777)
			}
			if err == nil {
				_, err = client.CoreV1().PersistentVolumes().Create(context.TODO(), volume, meta.CreateOptions{})
			}
			if err != nil && !errors.IsAlreadyExists(err) {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		volumes, err := client.CoreV1().PersistentVolumes().List(context.TODO(), meta.ListOptions{})
		if err != nil {
			continue
		}
		for _, volume := range volumes.Items {
			if volume.Annotations["pv.kubernetes.io/provisioned-by"] == provisioner && volume.Annotations[chosenNode] == here &&
				volume.Status.Phase == core.VolumeReleased {
				_ = os.RemoveAll(volume.Spec.HostPath.Path)
				_ = client.CoreV1().PersistentVolumes().Delete(context.TODO(), volume.Name, meta.DeleteOptions{})
			}
		}
	}
}

func volumeFor(claim *core.PersistentVolumeClaim, node string) *core.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	made := core.HostPathDirectoryOrCreate
	folder := filepath.Join("/var/lib/rancher/k3s/storage", fmt.Sprintf("%s_%s_%s", name, claim.Namespace, claim.Name))
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner, chosenNode: node}},
		Spec: core.PersistentVolumeSpec{
			StorageClassName: class, AccessModes: claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			ClaimRef:                      &core.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			PersistentVolumeSource:        core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: folder, Type: &made}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
				MatchExpressions: []core.NodeSelectorRequirement{{Key: "kubernetes.io/hostname", Operator: core.NodeSelectorOpIn, Values: []string{node}}},
			}}}},
		},
	}
}
