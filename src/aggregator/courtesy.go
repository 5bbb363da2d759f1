package aggregator

import (
	"bytes"
	"context"
	"regexp"
	"sync"
	"time"

	"quotes/src/wire"
)

// silentReports bounds the reports for clients that say nothing, a second.
const silentReports = 10

// requestLine is the first line of HTTP/1: a method, a target, the version.
var requestLine = regexp.MustCompile(`^[A-Z]{3,10} \S+ HTTP/1\.[01]\r?$`)

func (a *Aggregator) serverConfig() wire.ServerConfig {
	cfg := wire.ServerConfig{OnFrame: a.onFrame, DefBudget: a.cfg.Budget, Log: a.cfg.Log, OnFirst: a.onFirst}
	if !a.cfg.NoCourtesy {
		cfg.OnSilent = a.onSilent
	}
	return cfg
}

// onFirst hands a connection whose whole first line is HTTP's to the web server.
func (a *Aggregator) onFirst(c *wire.Conn, line []byte) bool {
	if !requestLine.Match(line) {
		return false
	}
	a.web.accept(c.Takeover(bytes.Clone(line)))
	return true
}

// onSilent sends one bare Report line of the default symbol to a client that says nothing, and ends the connection. When
// there are too many such clients this one is left to speak.
func (a *Aggregator) onSilent(c *wire.Conn) bool {
	if !a.quiet.allow(time.Now()) {
		return false
	}
	ctx, cancel := context.WithTimeout(c.Context(), a.cfg.Budget)
	defer cancel()
	r, err := a.report(ctx, wire.ReqReport{})
	if err != nil {
		_ = c.Send(wire.ErrorFrame(err))
		return true
	}
	_ = c.Write(append(r, '\n'))
	return true
}

// limiter lets a number of events a second through.
type limiter struct {
	perSecond int

	mu    sync.Mutex
	since time.Time
	used  int
}

func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= time.Second {
		l.since, l.used = now, 0
	}
	l.used++
	return l.used <= l.perSecond
}
