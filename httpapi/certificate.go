package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"
)

// How clients show certificates: Config.TLSClientAuth.
const (
	clientAuthNone    = "none"
	clientAuthAsk     = "ask"
	clientAuthRequire = "require"
)

// An Identity is by what the server and its clients know each other over TLS.
type Identity struct {
	certificate tls.Certificate
	config      *tls.Config
}

// LoadIdentity reads the files of cfg that are about TLS. It is an error when the key is not the certificate's, when the
// certificate is not valid now, or when tls_client_ca has none.
func LoadIdentity(cfg Config) (Identity, error) {
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return Identity{}, fmt.Errorf("http.tls_cert %s: %w", cfg.TLSCert, err)
	}
	now := time.Now()
	switch {
	case now.Before(pair.Leaf.NotBefore):
		return Identity{}, fmt.Errorf("http.tls_cert %s: not valid before %v", cfg.TLSCert, pair.Leaf.NotBefore)
	case now.After(pair.Leaf.NotAfter):
		return Identity{}, fmt.Errorf("http.tls_cert %s: expired at %v", cfg.TLSCert, pair.Leaf.NotAfter)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{pair},
	}
	if cfg.TLSClientCA != "" {
		text, err := os.ReadFile(cfg.TLSClientCA)
		if err != nil {
			return Identity{}, fmt.Errorf("http.tls_client_ca %s: %w", cfg.TLSClientCA, err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return Identity{}, fmt.Errorf("http.tls_client_ca %s: holds no certificate in PEM", cfg.TLSClientCA)
		}
	}
	switch {
	case cfg.TLSClientAuth == clientAuthRequire:
		config.ClientAuth = tls.RequireAndVerifyClientCert
	case cfg.TLSClientAuth == clientAuthAsk && config.ClientCAs != nil:
		config.ClientAuth = tls.VerifyClientCertIfGiven
	case cfg.TLSClientAuth == clientAuthAsk: // for tokens that are bound to a certificate, whoever made it: RFC 8705 §6.2
		config.ClientAuth = tls.RequestClientCert
	}
	return Identity{certificate: pair, config: config}, nil
}

// SetIdentity puts i in force for all handshakes from now on. It is for a server that was made with a certificate.
func (s *Server) SetIdentity(i Identity) {
	before := s.identity.Swap(&i)
	if leaf := i.certificate.Leaf; before == nil || !leaf.Equal(before.certificate.Leaf) {
		s.log.Info("certificate in force", "serial", leaf.SerialNumber.String(), "expires", leaf.NotAfter)
	}
}

func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.identity.Load().config, nil },
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &s.identity.Load().certificate, nil
		},
	}
}

// shows says whether a connection shows the certificate that the client has to have: one that was verified and carries one of its
// names. A client without names needs none.
func (c *caller) shows(state *tls.ConnectionState) bool {
	if len(c.CertificateNames) == 0 {
		return true
	}
	if state == nil || len(state.VerifiedChains) == 0 {
		return false
	}
	leaf := state.PeerCertificates[0]
	names := slices.Clone(leaf.DNSNames)
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(c.CertificateNames, name) })
}

// IdentityExpires is until when the certificate in force is valid; zero for plain HTTP.
func (s *Server) IdentityExpires() time.Time {
	if identity := s.identity.Load(); identity != nil {
		return identity.certificate.Leaf.NotAfter
	}
	return time.Time{}
}
