package httpapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// crossOrigin lets browsers call the API from pages of these origins (Fetch §3.3, CORS). To every other request the API is as if
// there were none: OPTIONS is 405, and no answer names an origin. No cookie and no other credential of the browser's is
// asked for, so that a page can do with the API only what it has a token for.
func crossOrigin(origins []string) echo.MiddlewareFunc {
	return middleware.CORSWithConfig(middleware.CORSConfig{
		AllowOrigins:  origins,
		AllowMethods:  []string{http.MethodGet, http.MethodPost},
		AllowHeaders:  []string{"Authorization", "Content-Type", "Idempotency-Key", "Traceparent", "X-Correlator"},
		ExposeHeaders: []string{"Allow", "Retry-After", "WWW-Authenticate", "X-Correlator"},
		MaxAge:        int((10 * time.Minute).Seconds()),
		Skipper: func(c echo.Context) bool {
			r := c.Request()
			preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
			return !slices.Contains(origins, r.Header.Get("Origin")) || r.Method == http.MethodOptions && !preflight
		},
	})
}
