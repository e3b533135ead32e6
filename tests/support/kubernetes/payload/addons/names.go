package main

import (
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
)

const zone = "cluster.local."

type names struct {
	services  listers.ServiceLister
	endpoints listers.EndpointsLister
	upstream  []string
}

// answerNames answers for the cluster's services and asks the nameservers of /etc/resolv.conf for everything else.
func answerNames(client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	server := names{services: factory.Core().V1().Services().Lister(), endpoints: factory.Core().V1().Endpoints().Lister()}
	if settings, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
		server.upstream = settings.Servers
	}
	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	ended := make(chan error, 2)
	for _, network := range []string{"udp", "tcp"} {
		listening := &dns.Server{Addr: ":53", Net: network, Handler: dns.HandlerFunc(server.answer)}
		go func() { ended <- listening.ListenAndServe() }()
	}
	return <-ended
}

func (server names) answer(writer dns.ResponseWriter, asked *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(asked)
	question := asked.Question[0]
	name := strings.ToLower(question.Name)
	if !strings.HasSuffix(name, "."+zone) {
		_ = writer.WriteMsg(server.forward(asked, reply))
		return
	}
	reply.Authoritative = true
	addresses, found := server.look(strings.Split(strings.TrimSuffix(name, "."+zone), "."))
	if !found {
		reply.Rcode = dns.RcodeNameError
	}
	if question.Qtype == dns.TypeA {
		for _, address := range addresses {
			header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: net.ParseIP(address)})
		}
	}
	_ = writer.WriteMsg(reply)
}

// look finds service.namespace.svc, and pod.service.namespace.svc of a headless one.
func (server names) look(parts []string) ([]string, bool) {
	pod := ""
	if len(parts) == 4 {
		pod, parts = parts[0], parts[1:]
	}
	if len(parts) != 3 || parts[2] != "svc" {
		if len(parts) <= 2 && parts[len(parts)-1] == "svc" {
			return nil, true
		}
		return nil, false
	}
	service, err := server.services.Services(parts[1]).Get(parts[0])
	if err != nil {
		return nil, false
	}
	if service.Spec.ClusterIP != "None" && pod == "" {
		return []string{service.Spec.ClusterIP}, true
	}
	behind, err := server.endpoints.Endpoints(parts[1]).Get(parts[0])
	if err != nil {
		return nil, true
	}
	var addresses []string
	for _, subset := range behind.Subsets {
		for _, address := range subset.Addresses {
			if pod == "" || pod == address.Hostname || address.TargetRef != nil && pod == address.TargetRef.Name {
				addresses = append(addresses, address.IP)
			}
		}
	}
	return addresses, pod == "" || len(addresses) > 0
}

func (server names) forward(asked, failed *dns.Msg) *dns.Msg {
	client := &dns.Client{Timeout: 2 * time.Second}
	for _, address := range server.upstream {
		if reply, _, err := client.Exchange(asked, net.JoinHostPort(address, "53")); err == nil {
			return reply
		}
	}
	failed.Rcode = dns.RcodeServerFailure
	return failed
}

var everything = labels.Everything()
