package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	helmCharts  = schema.GroupVersionResource{Group: "helm.cattle.io", Version: "v1", Resource: "helmcharts"}
	helmConfigs = schema.GroupVersionResource{Group: "helm.cattle.io", Version: "v1", Resource: "helmchartconfigs"}
)

type release struct{ seen, name, namespace string }

// charts KUBECONFIG FOLDER: k3s' helm controller, with helm run here where k3s runs it in a job. Every HelmChart is
// installed, upgraded when it or its HelmChartConfig changes, and uninstalled when it is gone.
func charts(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("k3s-charts: a kubeconfig and a folder are wanted")
	}
	kubeconfig, folder := arguments[0], arguments[1]
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	done := map[string]release{}
	for ; ; time.Sleep(time.Second) {
		listed, err := client.Resource(helmCharts).List(context.TODO(), metav1.ListOptions{})
		if err != nil {
			if !meta.IsNoMatchError(err) {
				fmt.Fprintln(os.Stderr, err)
			}
			continue
		}
		there := map[string]bool{}
		for index := range listed.Items {
			chart := &listed.Items[index]
			key := chart.GetNamespace() + "/" + chart.GetName()
			there[key] = true
			override := ""
			found, err := client.Resource(helmConfigs).Namespace(chart.GetNamespace()).Get(context.TODO(), chart.GetName(), metav1.GetOptions{})
			if err == nil {
				override, _, _ = unstructured.NestedString(found.Object, "spec", "valuesContent")
			}
			seen := fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(chart.Object["spec"], override))))
			if done[key].seen == seen {
				continue
			}
			namespace := text(chart, "targetNamespace", chart.GetNamespace())
			if err := install(chart, override, namespace, kubeconfig, filepath.Join(folder, chart.GetNamespace(), chart.GetName())); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", key, err)
				report(client, chart, "Failed", err.Error())
				continue
			}
			done[key] = release{seen, chart.GetName(), namespace}
			report(client, chart, "", "")
		}
		for key, each := range done {
			if !there[key] {
				_ = helm(kubeconfig, folder, "uninstall", each.name, "--namespace", each.namespace)
				delete(done, key)
			}
		}
	}
}

func text(chart *unstructured.Unstructured, key, otherwise string) string {
	found, _, _ := unstructured.NestedString(chart.Object, "spec", key)
	if found == "" {
		return otherwise
	}
	return found
}

func install(chart *unstructured.Unstructured, override, namespace, kubeconfig, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	source := strings.ReplaceAll(text(chart, "chart", ""), "%{KUBERNETES_API}%", "127.0.0.1:6443")
	if content := text(chart, "chartContent", ""); content != "" {
		packed, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return err
		}
		source = filepath.Join(folder, "chart.tgz")
		if err := os.WriteFile(source, packed, 0o600); err != nil {
			return err
		}
	}
	words := []string{"upgrade", "--install", chart.GetName(), source, "--namespace", namespace}
	if created, _, _ := unstructured.NestedBool(chart.Object, "spec", "createNamespace"); created {
		words = append(words, "--create-namespace")
	}
	if repository := text(chart, "repo", ""); repository != "" {
		words = append(words, "--repo", repository)
	}
	if version := text(chart, "version", ""); version != "" {
		words = append(words, "--version", version)
	}
	for option, content := range map[string]string{"--ca-file": text(chart, "repoCA", "")} {
		if content != "" {
			file := filepath.Join(folder, "ca.pem")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				return err
			}
			words = append(words, option, file)
		}
	}
	for index, content := range []string{text(chart, "valuesContent", ""), override} {
		if content != "" {
			file := filepath.Join(folder, fmt.Sprintf("values-%d.yaml", index))
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				return err
			}
			words = append(words, "--values", file)
		}
	}
	set, _, _ := unstructured.NestedMap(chart.Object, "spec", "set")
	for key, value := range set {
		words = append(words, "--set", fmt.Sprintf("%s=%v", key, value))
	}
	return helm(kubeconfig, folder, words...)
}

func helm(kubeconfig, folder string, words ...string) error {
	command := exec.Command("helm", words...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+folder, "HELM_CACHE_HOME="+folder+"/cache",
		"HELM_CONFIG_HOME="+folder+"/config", "HELM_DATA_HOME="+folder+"/data")
	said, err := command.CombinedOutput()
	fmt.Fprintf(os.Stderr, "helm %s\n%s", strings.Join(words, " "), said)
	if err != nil {
		return fmt.Errorf("helm: %s", strings.TrimSpace(string(said)))
	}
	return nil
}

// report leaves word on the HelmChart, as the controller does.
func report(client dynamic.Interface, chart *unstructured.Unstructured, failed, why string) {
	status := "False"
	if failed != "" {
		status = "True"
	}
	now := time.Now().UTC().Format(time.RFC3339)
	condition := map[string]interface{}{"type": "Failed", "status": status, "reason": failed, "message": why, "lastUpdateTime": now}
	object := chart.DeepCopy()
	object.Object["status"] = map[string]interface{}{
		"jobName": "helm-install-" + chart.GetName(), "conditions": []interface{}{condition},
	}
	_, err := client.Resource(helmCharts).Namespace(chart.GetNamespace()).UpdateStatus(context.TODO(), object, metav1.UpdateOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
