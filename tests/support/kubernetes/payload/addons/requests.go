package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	networking "k8s.io/api/networking/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	listers "k8s.io/client-go/listers/networking/v1"
)

type router struct {
	ingresses listers.IngressLister
	services  corelisters.ServiceLister
}

// passRequests answers on 80 and 443 and passes each request to the service that an Ingress names for its host and path.
func passRequests(client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	here := router{factory.Networking().V1().Ingresses().Lister(), factory.Core().V1().Services().Lister()}
	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	secure := &http.Server{Addr: ":443", Handler: here, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	go func() { ended <- (&http.Server{Addr: ":80", Handler: here}).ListenAndServe() }()
	go func() { ended <- secure.ListenAndServeTLS("", "") }()
	return <-ended
}

func (here router) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if request.URL.Path == "/ping" && request.Host == "traefik.local" {
		fmt.Fprint(answer, "OK")
		return
	}
	target := here.find(request)
	if target == nil {
		http.Error(answer, "404 page not found", http.StatusNotFound)
		return
	}
	httputil.NewSingleHostReverseProxy(target).ServeHTTP(answer, request)
}

func (here router) find(request *http.Request) *url.URL {
	host := request.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ingresses, _ := here.ingresses.List(everything)
	var best *url.URL
	longest := -1
	for _, ingress := range ingresses {
		for _, rule := range ingress.Spec.Rules {
			wild := strings.HasPrefix(rule.Host, "*.") && strings.HasSuffix(host, rule.Host[1:])
			if rule.HTTP == nil || rule.Host != "" && rule.Host != host && !wild {
				continue
			}
			for _, path := range rule.HTTP.Paths {
				exact := path.PathType != nil && *path.PathType == networking.PathTypeExact
				prefix := strings.TrimSuffix(path.Path, "/")
				fits := request.URL.Path == path.Path || !exact && (prefix == "" || request.URL.Path == prefix || strings.HasPrefix(request.URL.Path, prefix+"/"))
				if target := here.target(ingress.Namespace, path.Backend.Service); fits && target != nil && len(path.Path)+len(rule.Host) > longest {
					best, longest = target, len(path.Path)+len(rule.Host)
				}
			}
		}
	}
	return best
}

func (here router) target(namespace string, backend *networking.IngressServiceBackend) *url.URL {
	if backend == nil {
		return nil
	}
	service, err := here.services.Services(namespace).Get(backend.Name)
	if err != nil {
		return nil
	}
	for _, port := range service.Spec.Ports {
		if port.Port == backend.Port.Number || port.Name != "" && port.Name == backend.Port.Name {
			return &url.URL{Scheme: "http", Host: fmt.Sprintf("%s:%d", service.Spec.ClusterIP, port.Port)}
		}
	}
	return nil
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "TRAEFIK DEFAULT CERT"},
		NotBefore: now, NotAfter: now.AddDate(1, 0, 0), DNSNames: []string{"*"},
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}, err
}
