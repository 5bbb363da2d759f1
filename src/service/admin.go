package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// errNotStarted is the readiness before a process has said how to ask it.
var errNotStarted = errors.New("starting")

// maxBody is the longest body of a request, in bytes.
const maxBody = 1 << 20

// admin is the HTTP listener for operators.
type admin struct {
	ln    net.Listener
	srv   *http.Server
	mux   *http.ServeMux
	ready atomic.Pointer[func() error]
	done  chan struct{}
}

// registry holds the process's metrics, its runtime's and its version.
func registry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "quotes_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return reg
}

func newAdmin(addr string, reg *prometheus.Registry) (*admin, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin %w (--admin chooses another address)", err)
	}
	a := &admin{ln: ln, mux: http.NewServeMux(), done: make(chan struct{})}
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	a.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	a.mux.HandleFunc("GET /readyz", a.readyz)
	a.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	a.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	a.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	a.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	a.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	a.srv = &http.Server{
		// A page in somebody's browser must not be able to POST to a listener on loopback.
		Handler:           http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(a.mux, maxBody)),
		ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	go func() {
		defer close(a.done)
		_ = a.srv.Serve(ln) // ends with close
	}()
	return a, nil
}

func (a *admin) addr() string { return a.ln.Addr().String() }

func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	err := errNotStarted
	if check := a.ready.Load(); check != nil {
		err = (*check)()
	}
	if err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	say(w, http.StatusOK, "ok")
}

func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text)
}

func (a *admin) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.srv.Shutdown(ctx); err != nil {
		_ = a.srv.Close()
	}
	<-a.done
}

// Ready says how to ask whether the process can answer, and logs that the process has started: its flags and ports are good.
// Before it is called the process is not ready.
func (e *Env) Ready(check func() error) {
	e.Log.Info("started", "process", e.process, "version", version, "admin", e.admin.addr())
	e.admin.ready.Store(&check)
}

// Handle adds a handler to the admin listener, with a pattern of net/http such as "POST /-/cut". It panics, like net/http,
// where the pattern is wrong or taken: it is POST /-/… for what changes something, else GET.
func (e *Env) Handle(pattern string, h http.Handler) {
	method, path, _ := strings.Cut(pattern, " ")
	if changes := strings.HasPrefix(path, "/-/"); method != "POST" && method != "GET" || changes != (method == "POST") {
		panic(fmt.Sprintf("service: pattern %q: want POST /-/… for what changes something, else GET", pattern))
	}
	e.admin.mux.Handle(pattern, h)
}
