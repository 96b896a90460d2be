package config

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"

	"otpgw/httpapi"
)

// loadCertificates reads what http and smsc need for TLS, so that what cannot be used is found before anything is started
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
	for i, smsc := range cfg.SMSC {
		if at := fmt.Sprintf("smsc[%d].tls_ca", i); !l.document.failed[at] && filepath.IsAbs(smsc.TLSCA) {
			if text, err := readFile(smsc.TLSCA, maxFile, trusted); err != nil {
				l.fail(at, " = %q: %v", smsc.TLSCA, err)
			} else if !x509.NewCertPool().AppendCertsFromPEM(text) {
				l.fail(at, " = %q: holds no certificate in PEM", smsc.TLSCA)
			}
		}
	}
}
