package httpapi

import (
	"crypto/tls"
	"fmt"
	"time"
)

// LoadCertificate reads tls_cert and tls_key of cfg. It is an error when the key is not the certificate's or when the
// certificate is not valid now.
func LoadCertificate(cfg Config) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("http.tls_cert %s: %w", cfg.TLSCert, err)
	}
	now := time.Now()
	switch {
	case now.Before(pair.Leaf.NotBefore):
		return tls.Certificate{}, fmt.Errorf("http.tls_cert %s: not valid before %v", cfg.TLSCert, pair.Leaf.NotBefore)
	case now.After(pair.Leaf.NotAfter):
		return tls.Certificate{}, fmt.Errorf("http.tls_cert %s: expired at %v", cfg.TLSCert, pair.Leaf.NotAfter)
	}
	return pair, nil
}

// SetCertificate puts c, as LoadCertificate returned it, in force for all handshakes from now on. It is for a server
// that was made with a certificate.
func (s *Server) SetCertificate(c tls.Certificate) { s.certificate.Store(&c) }

func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil },
	}
}
