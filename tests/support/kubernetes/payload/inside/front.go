package main

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"flag"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// shared is what every server of a cluster has in common, and what a joining one is given.
var shared = []string{"server-ca.crt", "server-ca.key", "service.key", "admin.token", "tokens.csv"}

// front stands on 6443 before the API server: it answers what k3s' supervisor answers there, and passes on the rest.
func front(arguments []string) error {
	flags := flag.NewFlagSet("k3s-front", flag.ContinueOnError)
	folder := flags.String("tls", "", "folder of the authority")
	secret := flags.String("secret-file", "", "file with the cluster's token")
	listen := flags.String("listen", "127.0.0.1:6443", "where to answer, with commas between")
	behind := flags.String("apiserver", "https://127.0.0.2:6443", "who answers the rest")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	target, err := url.Parse(*behind)
	if err != nil {
		return err
	}
	passing := httputil.NewSingleHostReverseProxy(target)
	passing.FlushInterval = -1 // watches
	passing.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 64}

	mux := http.NewServeMux()
	mux.HandleFunc("/cacerts", func(answer http.ResponseWriter, request *http.Request) {
		http.ServeFile(answer, request, filepath.Join(*folder, "server-ca.crt"))
	})
	mux.HandleFunc("/ping", func(answer http.ResponseWriter, _ *http.Request) { _, _ = answer.Write([]byte("pong")) })
	mux.HandleFunc("/v1-k3s/server-bootstrap", func(answer http.ResponseWriter, request *http.Request) {
		token, err := os.ReadFile(*secret)
		parts := strings.Split(strings.TrimSpace(string(token)), ":")
		if err != nil || request.Header.Get("Authorization") != "Bearer "+parts[len(parts)-1] {
			http.Error(answer, "not authorized", http.StatusUnauthorized)
			return
		}
		var packed bytes.Buffer
		archive := tar.NewWriter(&packed)
		for _, name := range shared {
			content, err := os.ReadFile(filepath.Join(*folder, name))
			if err == nil {
				err = archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))})
			}
			if err == nil {
				_, err = archive.Write(content)
			}
			if err != nil {
				http.Error(answer, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		_ = archive.Close()
		_, _ = answer.Write(packed.Bytes())
	})
	mux.Handle("/", passing)
	addresses := strings.Split(*listen, ",")
	ended := make(chan error, len(addresses))
	for _, address := range addresses {
		server := &http.Server{
			Addr: address, Handler: mux, ReadHeaderTimeout: 30 * time.Second,
			// one protocol: an upgraded connection (exec, port-forward) has to go through
			TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		}
		go func() {
			ended <- server.ListenAndServeTLS(filepath.Join(*folder, "apiserver.crt"), filepath.Join(*folder, "apiserver.key"))
		}()
	}
	return <-ended
}
