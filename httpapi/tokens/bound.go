package tokens

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// A bound is to what its holder must show a token is bound: cnf (RFC 7800).
type bound struct {
	certificate string // x5t#S256: RFC 8705 §3.1
	key         string // jkt: RFC 9449 §6
}

// parseBound reads cnf. What else may stand there is passed over (RFC 7800 §3.1), but something must be there that can be confirmed.
func parseBound(v jsontext.Value) (*bound, error) {
	b := new(bound)
	err := members(slices.Clone(v), func(name string, v jsontext.Value) (err error) {
		switch name {
		case "x5t#S256":
			b.certificate, err = textOf(v)
		case "jkt":
			b.key, err = textOf(v)
		}
		return err
	})
	if err == nil && *b == (bound{}) {
		err = errors.New("has nothing that can be confirmed")
	}
	return b, err
}

// shown is an error unless the connection shows the certificate that the token is bound to, whoever made it.
func (b *bound) shown(connection *tls.ConnectionState) error {
	if connection == nil || len(connection.PeerCertificates) == 0 {
		return refuse(reasonBound, "is bound to a certificate, and the connection shows none")
	}
	sum := sha256.Sum256(connection.PeerCertificates[0].Raw)
	if !same(b.certificate, base64.RawURLEncoding.EncodeToString(sum[:])) {
		return refuse(reasonBound, "is bound to another certificate than the connection's")
	}
	return nil
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
