package aggregator

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of /v1/stream.
const (
	mostStreams    = 4_000
	streamInterval = 250 * time.Millisecond // a page gets changes no more often
	streamPing     = 10 * time.Second       // of silence, then a comment
	streamWrite    = 10 * time.Second       // a page that takes no bytes for so long is left
)

// stream serves GET /v1/stream: server-sent events of quotes, of the breaker and of the source, conflated to the newest.
func (w *web) stream(rw http.ResponseWriter, r *http.Request) {
	var list []quote.Symbol
	err := parse(r.URL.RawQuery, params{"symbols": func(v string) (err error) { list, err = symbolList(v); return err }})
	if err == nil {
		err = w.agg.unknownTo(r.Context(), list)
	}
	if err != nil {
		problem(rw, status(err), err)
		return
	}
	if w.streams.Add(1) > mostStreams {
		w.streams.Add(-1)
		problem(rw, http.StatusServiceUnavailable, &wire.Error{Code: wire.Unavailable, RetryAfterMS: 5000, Message: fmt.Sprintf("%d pages stream already", mostStreams)})
		return
	}
	defer w.streams.Add(-1)
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	to := http.NewResponseController(rw)
	if err := to.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	symbols := map[quote.Symbol]bool{}
	for _, s := range list {
		symbols[s] = true
	}
	w.follow(rw, r, to, symbols)
}

// follow writes what changes until the page or the process goes.
func (w *web) follow(rw http.ResponseWriter, r *http.Request, to *http.ResponseController, symbols map[quote.Symbol]bool) {
	version := w.agg.hub.resume(r.Header.Get("Last-Event-ID"))
	opening := fmt.Appendf(nil, "retry: 1000\nevent: hello\ndata: {\"now\":%q}\n\n", quote.TimeOf(time.Now()))
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	wrote := time.Now()
	for {
		events, now, changed := w.agg.hub.since(version, symbols)
		version = now
		if len(events) == 0 && opening == nil && time.Since(wrote) >= streamPing {
			opening = []byte(": ping\n\n")
		}
		if len(events) > 0 || opening != nil {
			if to.SetWriteDeadline(time.Now().Add(streamWrite)) != nil {
				return
			}
			_, err := rw.Write(opening)
			opening = nil
			for _, e := range events {
				if err == nil {
					_, err = rw.Write(e.bytes)
				}
			}
			if err != nil || to.Flush() != nil {
				return
			}
			wrote = time.Now()
		}
		pause.Reset(streamInterval)
		select {
		case <-pause.C:
		case <-r.Context().Done():
			return
		case <-w.leaving:
			return
		}
		pause.Reset(max(streamPing-time.Since(wrote), 0)) // others may change all the time
		select {
		case <-changed:
			pause.Stop()
		case <-pause.C:
		case <-r.Context().Done():
			return
		case <-w.leaving:
			return
		}
	}
}
