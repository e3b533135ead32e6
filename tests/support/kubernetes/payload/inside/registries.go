package main

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

type registriesFile struct {
	Mirrors map[string]struct {
		Endpoint []string          `json:"endpoint"`
		Rewrite  map[string]string `json:"rewrite"`
	} `json:"mirrors"`
	Configs map[string]struct {
		Auth *struct {
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auth"`
		TLS *struct {
			CA       string `json:"ca_file"`
			Cert     string `json:"cert_file"`
			Key      string `json:"key_file"`
			Insecure bool   `json:"insecure_skip_verify"`
		} `json:"tls"`
	} `json:"configs"`
}

// registries turns registries.yaml into containerd's certs.d. Rewrites are k3s' own patch to containerd, and refused.
func registries(arguments []string) error {
	flags := flag.NewFlagSet("k3s-registries", flag.ContinueOnError)
	source := flags.String("from", "", "registries.yaml")
	target := flags.String("to", "", "certs.d")
	closed := flags.Bool("disable-default-registry-endpoint", false, "never ask the registry that a name belongs to")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	content, err := os.ReadFile(*source)
	if err != nil {
		return err
	}
	var told registriesFile
	if err := yaml.UnmarshalStrict(content, &told); err != nil {
		return fmt.Errorf("%s: %w", *source, err)
	}
	for host, mirror := range told.Mirrors {
		if len(mirror.Rewrite) > 0 {
			return errors.New("this double knows no rewrite")
		}
		folder := filepath.Join(*target, host)
		if host == "*" {
			folder = filepath.Join(*target, "_default")
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "hosts.toml"), []byte(told.hosts(host, mirror.Endpoint, *closed)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (told registriesFile) hosts(host string, endpoints []string, closed bool) string {
	var text strings.Builder
	upstream := "https://" + strings.Replace(host, "docker.io", "registry-1.docker.io", 1)
	if len(endpoints) > 0 && (closed || host == "*") {
		upstream = endpoints[0]
	}
	fmt.Fprintf(&text, "server = %q\n", upstream)
	for _, endpoint := range endpoints {
		fmt.Fprintf(&text, "[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", endpoint)
		parsed, err := url.Parse(endpoint)
		if err != nil {
			continue
		}
		config := told.Configs[parsed.Host]
		if config.TLS != nil {
			if config.TLS.CA != "" {
				fmt.Fprintf(&text, "  ca = %q\n", config.TLS.CA)
			}
			if config.TLS.Cert != "" {
				fmt.Fprintf(&text, "  client = [[%q, %q]]\n", config.TLS.Cert, config.TLS.Key)
			}
			if config.TLS.Insecure {
				text.WriteString("  skip_verify = true\n")
			}
		}
		if config.Auth != nil {
			basic := base64.StdEncoding.EncodeToString([]byte(config.Auth.Username + ":" + config.Auth.Password))
			fmt.Fprintf(&text, "  [host.%q.header]\n    Authorization = \"Basic %s\"\n", endpoint, basic)
		}
	}
	return text.String()
}
