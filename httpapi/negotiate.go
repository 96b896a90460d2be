package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

const mediaType = "application/json"

// negotiate checks the media types of a request: of what it brings and of what it wants back.
func negotiate(r *http.Request) *problem {
	if !brings(r) {
		return unsupportedMedia
	}
	if !accepts(r.Header["Accept"]) {
		return notAcceptable
	}
	return nil
}

// brings says whether the body, if there is one, is JSON in UTF-8 and in no content coding.
func brings(r *http.Request) bool {
	if coding := r.Header["Content-Encoding"]; len(coding) > 1 || len(coding) == 1 && !strings.EqualFold(coding[0], "identity") {
		return false
	}
	values := r.Header["Content-Type"]
	switch len(values) {
	case 0:
		return r.ContentLength == 0 // the missing body is another matter
	case 1:
		return values[0] == mediaType || isJSON(values[0])
	default:
		return false
	}
}

func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != mediaType {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// accepts says whether a client with these Accept headers takes application/json: by the range that names it most
// exactly (RFC 9110 §12.5.1). No header, or none with a range in it, takes anything.
func accepts(headers []string) bool {
	exactness, weight := -1, 0.0
	any := false
	for _, header := range headers {
		for element := range strings.SplitSeq(header, ",") {
			media, params, _ := strings.Cut(element, ";")
			media = strings.TrimSpace(media)
			if media == "" {
				continue
			}
			any = true
			n := -1
			switch {
			case strings.EqualFold(media, mediaType):
				n = 2
			case strings.EqualFold(media, "application/*"):
				n = 1
			case media == "*/*":
				n = 0
			}
			if q := quality(params); n > exactness || n == exactness && q > weight {
				exactness, weight = n, q
			}
		}
	}
	return !any || exactness >= 0 && weight > 0
}

// quality is the weight among the parameters of a range: 1 without one, 0 for one that is no number.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0
			}
			return q
		}
	}
	return 1
}
