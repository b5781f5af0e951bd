package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// validity is how long certificates hold: longer than any cluster lives.
const validity = 30 * 24 * time.Hour

// authority issues the cluster's certificates: one for the API server, one for
// each user.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// pair is a certificate and its key, in PEM.
type pair struct{ cert, key []byte }

func newAuthority() (*authority, error) {
	a := &authority{}
	p, err := a.issue(x509.Certificate{
		Subject: pkix.Name{CommonName: "test cluster"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	if err != nil {
		return nil, err
	}
	a.pem = p.cert
	return a, nil
}

// issue signs a certificate for a new key; the first is the authority's own.
func (a *authority) issue(c x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("generate a key: %w", err)
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return pair{}, fmt.Errorf("generate a serial number: %w", err)
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(validity)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = &c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("sign the certificate of %q: %w", c.Subject.CommonName, err)
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			return pair{}, fmt.Errorf("read the authority's certificate: %w", err)
		}
		a.key = key
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("write a key: %w", err)
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// server issues the certificate of the API server.
func (a *authority) server() (pair, error) {
	return a.issue(x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost", "kubernetes.default.svc"},
	})
}

// client issues the certificate of a user.
func (a *authority) client(user string, groups []string) (pair, error) {
	return a.issue(x509.Certificate{
		Subject: pkix.Name{CommonName: user, Organization: groups}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// tls is how the holder of a pair speaks to the API server.
func (a *authority) tls(p pair) (*tls.Config, error) {
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("read a key pair: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// kubeconfig writes a file for a user; user is the lines that prove who it is.
func (c *Cluster) kubeconfig(name, user string) (string, error) {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster:
    server: %s
    certificate-authority-data: %s
contexts:
- name: test
  context: {cluster: test, user: test}
users:
- name: test
  user:
%s`, c.URL, base64.StdEncoding.EncodeToString(c.authority.pem), user)
	path := filepath.Join(c.Dir, name+".kubeconfig")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write the kubeconfig: %w", err)
	}
	return path, nil
}

// certified writes the kubeconfig of a user who shows a certificate.
func (c *Cluster) certified(name string, p pair) (string, error) {
	encode := base64.StdEncoding.EncodeToString
	return c.kubeconfig(name, fmt.Sprintf("    client-certificate-data: %s\n    client-key-data: %s\n", encode(p.cert), encode(p.key)))
}

// UserKubeconfig writes a kubeconfig for a user with these groups and returns
// its path. The user need not be known before: a certificate says who it is,
// and RBAC what it may do. It may be called at any time.
func (c *Cluster) UserKubeconfig(user string, groups ...string) (string, error) {
	p, err := c.authority.client(user, groups)
	if err != nil {
		return "", err
	}
	return c.certified(c.fileName("user"), p)
}

// TokenKubeconfig writes a kubeconfig with a bearer token and returns its path.
// The token is one of Options.Tokens, or one that the API server has issued for
// a service account. It may be called at any time.
func (c *Cluster) TokenKubeconfig(token string) (string, error) {
	return c.kubeconfig(c.fileName("token"), fmt.Sprintf("    token: %q\n", token))
}

// SetTokens replaces Options.Tokens. The API server knows them after its next
// start; those that are gone it then refuses.
func (c *Cluster) SetTokens(tokens ...Token) error {
	var b strings.Builder
	for i, t := range tokens {
		// The format is CSV: token, user, uid, "group,group".
		if strings.ContainsAny(t.Token+t.User+strings.Join(t.Groups, ""), "\",\n") {
			return fmt.Errorf("write the tokens: token, user %q and groups must hold no comma, quote or line break", t.User)
		}
		fmt.Fprintf(&b, "%s,%s,%d,\"%s\"\n", t.Token, t.User, i, strings.Join(t.Groups, ","))
	}
	if b.Len() == 0 {
		// The API server refuses a file without a line: a token nobody knows.
		fmt.Fprintf(&b, "%s,nobody,0\n", rand.Text())
	}
	if err := os.WriteFile(c.file("tokens.csv"), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write the tokens: %w", err)
	}
	return nil
}

func (c *Cluster) fileName(kind string) string { return fmt.Sprintf("%s-%d", kind, c.files.Add(1)) }
