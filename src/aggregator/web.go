package aggregator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"quotes/src/quote"
	"quotes/src/wire"
)

// web serves HTTP on connections that the data port hands over.
type web struct {
	agg   *Aggregator
	srv   *http.Server
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	leaving <-chan struct{} // the process ends: streams do too
	streams atomic.Int64
	open    atomic.Int64 // connections
	zips    sync.Pool
	waiting *semaphore.Weighted // bytes of answers that are being written
}

func newWeb(a *Aggregator) (*web, error) {
	w := &web{agg: a, conns: make(chan net.Conn), done: make(chan struct{}), zips: newZips(), waiting: newUnread()}
	mux := http.NewServeMux()
	for path, serve := range map[string]http.HandlerFunc{
		"/v1/report": w.report, "/v1/quotes": w.quotes, "/v1/history": w.history, "/v1/symbols": w.symbols,
		"/v1/status": w.status, "/v1/stream": w.stream,
	} {
		mux.HandleFunc("GET "+path, serve)
		mux.HandleFunc(path, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Allow", "GET, HEAD")
			problem(rw, http.StatusMethodNotAllowed, wire.Errorf(wire.BadRequest, "want GET"))
		})
	}
	if err := w.pages(mux); err != nil {
		return nil, err
	}
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		problem(rw, http.StatusNotFound, wire.Errorf(wire.BadRequest, "nothing at %.80q: try /, or /v1/report?symbol=SYMBOL", r.URL.Path))
	})
	w.srv = &http.Server{
		Handler: mux, ErrorLog: slog.NewLogLogger(a.cfg.Log.Handler(), slog.LevelDebug), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 75 * time.Second, // the longest budget, and what it takes to write
		IdleTimeout:  time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return w, nil
}

// mostHTTP bounds the connections that speak HTTP: streams and a thousand others.
const mostHTTP = mostStreams + 1_000

// accept takes a connection over, unless there are too many.
func (w *web) accept(nc net.Conn) {
	c := &counted{Conn: nc, open: &w.open}
	if w.open.Add(1) > mostHTTP {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = nc.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
		_ = c.Close()
		return
	}
	select {
	case w.conns <- c:
	case <-w.done:
		_ = c.Close()
	}
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

// Close closes the connection.
func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// run serves until ctx ends, then lets requests in work end.
func (w *web) run(ctx context.Context) error {
	w.leaving = ctx.Done()
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if w.srv.Shutdown(late) != nil {
			_ = w.srv.Close()
		}
	})
	err := w.srv.Serve(w)
	if !stop() {
		<-drained // Serve returns as soon as that begins
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// Accept returns the next connection that was handed over: with Close and Addr the web is its own net.Listener.
func (w *web) Accept() (net.Conn, error) {
	select {
	case nc := <-w.conns:
		return nc, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (w *web) Close() error {
	w.once.Do(func() { close(w.done) })
	return nil
}

// Addr returns the data port's address.
func (w *web) Addr() net.Addr { return w.agg.ln.Addr() }

// within bounds a request by its own budget.
func (w *web) within(r *http.Request, budget time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), cmp.Or(budget, w.agg.cfg.Budget))
}

// report serves GET /v1/report.
func (w *web) report(rw http.ResponseWriter, r *http.Request) {
	req, budget, err := parseReport(r.URL.RawQuery)
	if err != nil {
		problem(rw, status(err), err)
		return
	}
	ctx, cancel := w.within(r, budget)
	defer cancel()
	body, err := w.agg.report(ctx, req)
	if err != nil {
		w.refuse(rw, r, err)
		return
	}
	w.write(rw, r, body, fresh)
}

// quotes serves GET /v1/quotes: an array, of all symbols where none is named.
func (w *web) quotes(rw http.ResponseWriter, r *http.Request) {
	var names []quote.Symbol
	var budget time.Duration
	err := parse(r.URL.RawQuery, params{
		"symbol":    func(v string) (err error) { names, err = one(v, names); return err },
		"symbols":   func(v string) (err error) { names, err = several(v, names); return err },
		"budget_ms": readBudget(&budget),
	})
	if err != nil {
		problem(rw, status(err), err)
		return
	}
	ctx, cancel := w.within(r, budget)
	defer cancel()
	body, err := w.agg.quotes(ctx, names)
	if err != nil {
		w.refuse(rw, r, err)
		return
	}
	w.write(rw, r, body, fresh)
}

// symbols serves GET /v1/symbols.
func (w *web) symbols(rw http.ResponseWriter, r *http.Request) {
	if err := parse(r.URL.RawQuery, params{}); err != nil {
		problem(rw, status(err), err)
		return
	}
	ctx, cancel := w.within(r, 0)
	defer cancel()
	list, all, err := w.agg.symbols(ctx)
	if err != nil {
		problem(rw, status(err), err)
		return
	}
	body, err := json.Marshal(struct {
		Symbols  []quote.Symbol `json:"symbols"`
		Complete bool           `json:"complete"` // else core does not answer, and there may be others
	}{list, all})
	if err != nil {
		problem(rw, http.StatusInternalServerError, err)
		return
	}
	w.write(rw, r, body, keeping(all))
}

// status is the HTTP status of an error.
func status(err error) int {
	if errors.Is(err, quote.ErrBadSymbol) { // malformed; unknown ones are not found
		return http.StatusBadRequest
	}
	switch wire.CodeOf(err) {
	case wire.BadRequest, wire.TooLarge:
		return http.StatusBadRequest
	case wire.BadSymbol:
		return http.StatusNotFound
	case wire.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case wire.LowCoverage, wire.TooStale, wire.Unavailable, wire.BreakerOpen:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// problem writes an error that carries no report.
func problem(rw http.ResponseWriter, code int, err error) {
	body := describe(rw, code, err)
	rw.WriteHeader(code)
	_, _ = rw.Write(body)
}

// refuse writes an error, with the report where it carries one.
func (w *web) refuse(rw http.ResponseWriter, r *http.Request, err error) {
	code := status(err)
	w.send(rw, r, code, describe(rw, code, err), fresh)
}

// describe makes an error problem+json (RFC 9457) and sets its headers.
func describe(rw http.ResponseWriter, code int, err error) []byte {
	e := wire.AsError(err)
	body, _ := json.Marshal(struct {
		Type         string          `json:"type"`
		Title        string          `json:"title"`
		Status       int             `json:"status"`
		Detail       string          `json:"detail"`
		Code         wire.Code       `json:"code"`
		RetryAfterMS int64           `json:"retry_after_ms,omitempty"`
		Report       json.RawMessage `json:"report,omitempty"`
	}{"about:blank", http.StatusText(code), code, e.Message, e.Code, e.RetryAfterMS, e.Report}) // never fails: the report is JSON already
	h := rw.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if after := e.RetryAfter(); after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
	}
	return append(body, '\n')
}
