package openapi

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/try.html"))

// contentPolicy lets the page load what is its own only, and speak to its own server and to the API. Swagger UI's icons are
// data: URLs.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' %s; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// Handler serves the documents of the versions at these places and the side API's below path, which ends with a slash, as NAME.yaml
// and NAME.json, and a page to try them at path itself. root is where clients reach the API (see New). origins are those of the pages
// from which browsers may call the API: the page says where it is not among them.
func Handler(path string, places []string, root string, origins []string) (http.Handler, error) {
	documents, err := All(places, root)
	if err != nil {
		return nil, err
	}
	var html bytes.Buffer
	if err := pages.Execute(&html, struct {
		Root      string
		Origins   []string
		Documents []Document
	}{root, origins, documents}); err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	mux := http.NewServeMux()
	file := func(name, kind string, content []byte) {
		mux.HandleFunc("GET "+path+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
	}
	file("{$}", "text/html; charset=utf-8", html.Bytes())
	for _, d := range documents {
		file(d.Name+".yaml", "application/yaml", d.YAML) // RFC 9512
		file(d.Name+".json", "application/json", d.JSON)
	}
	for name, kind := range map[string]string{"try.js": "text/javascript; charset=utf-8", "try.css": "text/css; charset=utf-8"} {
		content, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			return nil, fmt.Errorf("openapi: %w", err)
		}
		file(name, kind, content)
	}
	assets := http.StripPrefix(path, statigz.FileServer(static.FS))
	for _, name := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"} {
		mux.Handle("GET "+path+name, assets)
	}
	return guarded(mux, root), nil
}

// guarded tells the browser what pages of h may do.
func guarded(h http.Handler, root string) http.Handler {
	policy := fmt.Sprintf(contentPolicy, root)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}
