package aggregator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

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
}

func newWeb(a *Aggregator) *web {
	w := &web{agg: a, conns: make(chan net.Conn), done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/report", w.report)
	mux.HandleFunc("/v1/report", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Allow", "GET, HEAD")
		problem(rw, http.StatusMethodNotAllowed, wire.Errorf(wire.BadRequest, "want GET"))
	})
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		problem(rw, http.StatusNotFound, wire.Errorf(wire.BadRequest, "nothing at %.80q: try /v1/report?symbol=SYMBOL", r.URL.Path))
	})
	w.srv = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return w
}

// accept takes a connection over.
func (w *web) accept(nc net.Conn) {
	select {
	case w.conns <- nc:
	case <-w.done:
		_ = nc.Close()
	}
}

// run serves until ctx ends, then lets requests in work end.
func (w *web) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if w.srv.Shutdown(late) != nil {
			_ = w.srv.Close()
		}
	})
	defer stop()
	if err := w.srv.Serve(w); !errors.Is(err, http.ErrServerClosed) {
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

// report serves GET /v1/report.
func (w *web) report(rw http.ResponseWriter, r *http.Request) {
	req, budget, err := parseReport(r.URL.RawQuery)
	if err != nil {
		problem(rw, http.StatusBadRequest, err)
		return
	}
	if budget == 0 {
		budget = w.agg.cfg.Budget
	}
	ctx, cancel := context.WithTimeout(r.Context(), budget)
	defer cancel()
	body, err := w.agg.report(ctx, req)
	if err != nil {
		problem(rw, status(err), err)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	_, _ = rw.Write(append(body, '\n'))
}

// parseReport reads the query of /v1/report. A parameter that is unknown or stands twice is an error: it would be
// silently ignored else.
func parseReport(raw string) (req wire.ReqReport, budget time.Duration, err error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return req, 0, wire.Errorf(wire.BadRequest, "query: %v", err)
	}
	for name, values := range q {
		if len(values) != 1 {
			return req, 0, wire.Errorf(wire.BadRequest, "%.40q stands %d times", name, len(values))
		}
		v := values[0]
		switch name {
		case "symbol":
			req.Symbol = quote.Symbol(v)
		case "symbols":
			for s := range strings.SplitSeq(v, ",") {
				req.Symbols = append(req.Symbols, quote.Symbol(s))
			}
		case "from":
			req.From, err = quote.ParseTime(v)
		case "to":
			req.To, err = quote.ParseTime(v)
		case "limit":
			var n int
			n, err = strconv.Atoi(v)
			req.Limit = &n
		case "min_coverage":
			req.MinCoverage, err = strconv.ParseFloat(v, 64)
		case "max_age_ms":
			var n int64
			n, err = strconv.ParseInt(v, 10, 64)
			req.MaxAgeMS = &n
		case "budget_ms":
			var n int
			n, err = strconv.Atoi(v)
			if err == nil && (n < 1 || n > 60_000) {
				err = errors.New("want 1 to 60000")
			}
			budget = time.Duration(n) * time.Millisecond
		default:
			err = errors.New("no such parameter: symbol, symbols, from, to, limit, min_coverage, max_age_ms and budget_ms are known")
		}
		if err != nil {
			return req, 0, wire.Errorf(wire.BadRequest, "%.40s: %v", name, err)
		}
	}
	return req, budget, nil
}

// status is the HTTP status of an error.
func status(err error) int {
	if errors.Is(err, quote.ErrBadSymbol) { // malformed; unknown ones are not found
		return http.StatusBadRequest
	}
	switch wire.CodeOf(err) {
	case wire.BadRequest:
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

// problem writes an error as problem+json (RFC 9457), with the report where it carries one.
func problem(rw http.ResponseWriter, code int, err error) {
	e := wire.AsError(err)
	body, _ := json.Marshal(struct {
		Type   string          `json:"type"`
		Title  string          `json:"title"`
		Status int             `json:"status"`
		Detail string          `json:"detail"`
		Code   wire.Code       `json:"code"`
		Report json.RawMessage `json:"report,omitempty"`
	}{"about:blank", http.StatusText(code), code, e.Message, e.Code, e.Report}) // never fails: the report is JSON already
	rw.Header().Set("Content-Type", "application/problem+json")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(code)
	_, _ = rw.Write(append(body, '\n'))
}
