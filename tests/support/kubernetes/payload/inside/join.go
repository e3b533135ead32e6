package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// join URL FILE: waits for the server, keeps its authority in FILE, and asks whether the token (on standard input)
// is good.
func join(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("k3s-join: a server and a file are wanted")
	}
	server, keep := arguments[0], arguments[1]
	token, err := standardInput()
	if err != nil {
		return err
	}
	trusted, err := reach(server, token)
	if err != nil {
		return err
	}
	if _, err := ask(server+"/api/v1/nodes?limit=1", secretOf(token), trusted); err != nil {
		return err
	}
	return os.WriteFile(keep, trusted, 0o644)
}

// bootstrap URL FOLDER: what a joining server needs of the first one, for the token on standard input.
func bootstrap(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("k3s-bootstrap: a server and a folder are wanted")
	}
	token, err := standardInput()
	if err != nil {
		return err
	}
	trusted, err := reach(arguments[0], token)
	if err != nil {
		return err
	}
	packed, err := ask(arguments[0]+"/v1-k3s/server-bootstrap", secretOf(token), trusted)
	if err != nil {
		return err
	}
	archive := tar.NewReader(bytes.NewReader(packed))
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(arguments[1], filepath.Base(header.Name)), content, 0o600); err != nil {
			return err
		}
	}
}

func standardInput() (string, error) {
	content, err := io.ReadAll(os.Stdin)
	return strings.TrimSpace(string(content)), err
}

// reach waits for a server and returns its authority, which a token of the long form pins.
func reach(server, token string) ([]byte, error) {
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	for {
		answer, err := client.Get(server + "/cacerts")
		if err == nil && answer.StatusCode == http.StatusOK {
			content, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(token, "K10") {
				pinned := strings.SplitN(strings.TrimPrefix(token, "K10"), "::", 2)[0]
				if found := fmt.Sprintf("%x", sha256.Sum256(content)); found != pinned {
					return nil, fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", pinned, found)
				}
			}
			return content, nil
		}
		fmt.Fprintf(os.Stderr, "level=info msg=\"Waiting to retrieve agent configuration; server is not ready: %s\"\n", server)
		time.Sleep(time.Second)
	}
}

func ask(address, secret string, trusted []byte) ([]byte, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("failed to retrieve agent configuration: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("failed to retrieve agent configuration: not authorized (%s)", answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func secretOf(token string) string {
	return token[strings.LastIndex(token, ":")+1:]
}
