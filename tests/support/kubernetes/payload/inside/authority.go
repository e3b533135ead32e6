package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority FOLDER NAME...: the cluster's authority, made once, and the API server's certificate for all NAMEs and
// addresses, made at every start. Times are the clock's: a clock that is wrong breaks both, as with k3s.
func authority(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("k3s-authority: a folder and names are wanted")
	}
	folder := arguments[0]
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, "server-ca.crt")); os.IsNotExist(err) {
		if err := newAuthority(folder); err != nil {
			return err
		}
	}
	signer, key, err := loadAuthority(folder)
	if err != nil {
		return err
	}
	return issue(folder, signer, key, arguments[1:])
}

func newAuthority(folder string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: fmt.Sprintf("k3s-double-ca@%d", now.Unix())},
		NotBefore: now, NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	service, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := writePEM(folder, "service.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(service)); err != nil {
		return err
	}
	if err := writeKey(folder, "server-ca.key", key); err != nil {
		return err
	}
	return writePEM(folder, "server-ca.crt", "CERTIFICATE", made)
}

func loadAuthority(folder string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(filepath.Join(folder, "server-ca.crt"))
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	if text, err = os.ReadFile(filepath.Join(folder, "server-ca.key")); err != nil {
		return nil, nil, err
	}
	block, _ = pem.Decode(text)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	return certificate, key, err
}

func issue(folder string, signer *x509.Certificate, signing *ecdsa.PrivateKey, names []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "kube-apiserver", Organization: []string{"system:masters"}},
		NotBefore: now, NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	made, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signing)
	if err != nil {
		return err
	}
	if err := writeKey(folder, "apiserver.key", key); err != nil {
		return err
	}
	return writePEM(folder, "apiserver.crt", "CERTIFICATE", made)
}

func writeKey(folder, name string, key *ecdsa.PrivateKey) error {
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(folder, name, "EC PRIVATE KEY", bytes)
}

func writePEM(folder, name, kind string, bytes []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	return os.WriteFile(filepath.Join(folder, name), text, 0o600)
}
