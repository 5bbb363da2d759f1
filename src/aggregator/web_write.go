package aggregator

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// keeping says whether an answer may be kept.
type keeping bool

const (
	fresh  keeping = false // never: it is of this moment, or incomplete
	tagged keeping = true  // by its ETag: it must be asked for again, and may be the same
)

// gzipFrom is the size from which an answer is worth compressing, in bytes.
const gzipFrom = 1 << 10

// write sends a JSON answer.
func (w *web) write(rw http.ResponseWriter, r *http.Request, body []byte, keep keeping) {
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if keep {
		h.Set("Cache-Control", "no-cache")
	}
	w.send(rw, r, http.StatusOK, append(slices.Clip(body), '\n'), keep)
}

// send writes a body, compressed where the client takes that, or 304 where it has it.
func (w *web) send(rw http.ResponseWriter, r *http.Request, code int, body []byte, keep keeping) {
	done, ok := w.unread(rw, len(body))
	if !ok {
		return
	}
	defer done()
	h := rw.Header()
	h.Add("Vary", "Accept-Encoding")
	if keep {
		tag := etag(body)
		h.Set("ETag", tag)
		if has(r.Header.Get("If-None-Match"), tag) {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if len(body) < gzipFrom || !accepts(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		rw.WriteHeader(code)
		_, _ = rw.Write(body)
		return
	}
	h.Set("Content-Encoding", "gzip")
	rw.WriteHeader(code)
	z, _ := w.zips.Get().(*gzip.Writer)
	defer w.zips.Put(z)
	z.Reset(rw)
	if _, err := z.Write(body); err == nil {
		_ = z.Close() // the client is gone: there is nobody to tell
	}
}

func newZips() sync.Pool {
	return sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // never fails: the level is one
		return z
	}}
}

// etag is weak: the same answer may go out compressed or not.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// has reports whether If-None-Match names the tag.
func has(header, tag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		if t = strings.TrimSpace(t); t == tag || t == "*" {
			return true
		}
	}
	return false
}

// accepts reports whether Accept-Encoding allows gzip.
func accepts(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		q = strings.ReplaceAll(q, " ", "")
		if (name == "gzip" || name == "*") && q != "q=0" && q != "q=0.0" {
			return true
		}
	}
	return false
}
