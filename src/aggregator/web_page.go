package aggregator

import (
	"embed"
	"net/http"
)

//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page load nothing but ourselves, and nobody frame it.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages are the page's paths: only these, by name.
func (w *web) pages(mux *http.ServeMux) error {
	for path, file := range map[string]struct{ name, kind string }{
		"/{$}":       {"index.html", "text/html; charset=utf-8"},
		"/app.js":    {"app.js", "text/javascript; charset=utf-8"},
		"/style.css": {"style.css", "text/css; charset=utf-8"},
		"/icon.svg":  {"icon.svg", "image/svg+xml"},
	} {
		body, err := pageFiles.ReadFile("page/" + file.name)
		if err != nil {
			return err
		}
		mux.HandleFunc("GET "+path, func(rw http.ResponseWriter, r *http.Request) {
			h := rw.Header()
			h.Set("Content-Type", file.kind)
			h.Set("Cache-Control", "no-cache")
			h.Set("Content-Security-Policy", pagePolicy)
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("X-Content-Type-Options", "nosniff")
			w.send(rw, r, http.StatusOK, body, tagged)
		})
	}
	return nil
}
