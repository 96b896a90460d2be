package config

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"

	"otpgw/httpapi"
)

// loadCertificates reads what http, smsc, issuer and sink need for TLS, so that what cannot be used is found before anything is started
// or touched.
func (l *loader) loadCertificates(cfg Config) {
	const cert, key = "http.tls_cert", "http.tls_key"
	if !l.document.failed[cert] && !l.document.failed[key] && filepath.IsAbs(cfg.HTTP.TLSCert) && filepath.IsAbs(cfg.HTTP.TLSKey) {
		if _, err := readFile(cfg.HTTP.TLSKey, maxFile, private); err != nil {
			l.fail(key, " = %q: %v", cfg.HTTP.TLSKey, err)
		} else if _, err := httpapi.LoadIdentity(cfg.HTTP); err != nil {
			at, why, _ := strings.Cut(err.Error(), " ")
			l.fail(at, ": %v", why)
		}
	}
	l.loadAdminCertificate(cfg)
	for i, smsc := range cfg.SMSC {
		l.loadAuthorities(fmt.Sprintf("smsc[%d].tls_ca", i), smsc.TLSCA)
	}
	for i, sink := range cfg.Sinks {
		l.loadAuthorities(fmt.Sprintf("sink[%d].ca", i), sink.CA)
	}
	for i, issuer := range cfg.Issuers {
		l.loadAuthorities(fmt.Sprintf("issuer[%d].ca", i), issuer.CA)
	}
}

// loadAuthorities reads the certificates that a key names, if it names any.
func (l *loader) loadAuthorities(key, path string) {
	if l.document.failed[key] || !filepath.IsAbs(path) {
		return
	}
	if text, err := readFile(path, maxFile, trusted); err != nil {
		l.fail(key, " = %q: %v", path, err)
	} else if !x509.NewCertPool().AppendCertsFromPEM(text) {
		l.fail(key, " = %q: holds no certificate in PEM", path)
	}
}

// loadAdminCertificate reads what the admin listener needs for TLS.
func (l *loader) loadAdminCertificate(cfg Config) {
	const cert, key, ca = "admin.tls_cert", "admin.tls_key", "admin.tls_client_ca"
	a := cfg.Admin
	if l.document.failed[cert] || l.document.failed[key] || l.document.failed[ca] ||
		!filepath.IsAbs(a.TLSCert) || !filepath.IsAbs(a.TLSKey) || a.TLSClientCA != "" && !filepath.IsAbs(a.TLSClientCA) {
		return
	}
	if _, err := readFile(a.TLSKey, maxFile, private); err != nil {
		l.fail(key, " = %q: %v", a.TLSKey, err)
		return
	}
	if _, err := a.TLS(); err != nil {
		at, why, _ := strings.Cut(err.Error(), " ")
		l.fail("admin."+at, " %v", why)
	}
}
