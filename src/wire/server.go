package wire

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// ServerConfig says how a [Server] treats its connections.
type ServerConfig struct {
	// OnFrame gets each frame, in order, on the connection's reading goroutine. It must not block for long:
	// what takes time goes through [Conn.Answer]. Required.
	OnFrame func(*Conn, Frame)
	// Borrow saves a copy of each payload: what OnFrame gets is valid until it returns.
	Borrow bool
	// OnPause is called on the reading goroutine after the last OnFrame of what has arrived by now, before it waits for more: work
	// for several frames can be done once. May be nil.
	OnPause func(*Conn)
	// OnClose is called once for each connection that was not taken over, after its last OnFrame and when all that
	// Answer runs has ended. May be nil.
	OnClose func(*Conn, error)
	// OnFirst may take a connection over: it gets the first line, without its newline. When it returns true, the server
	// forgets the connection, and the function it got owns it: net.Conn's reads begin with that line. May be nil.
	OnFirst func(c *Conn, line []byte) bool
	// OnSilent is called for a client that half-closes without a byte, or sends none for SilentAfter. The connection
	// is closed when it returns true; else it lives on and is not asked again. May be nil.
	OnSilent    func(*Conn) bool
	SilentAfter time.Duration // 1 s where 0

	MaxLine      int           // longest line in bytes; DefaultMaxLine where 0
	MaxLines     int           // bytes of unfinished lines beyond 1 KiB each, of all connections; further ones get ERROR unavailable; 64 MiB where 0
	MaxAnswers   int           // bytes of large answers that wait to be read, of all connections; what is beyond is ERROR unavailable; 64 MiB where 0
	LineTimeout  time.Duration // from a line's first byte to its end; 10 s where 0
	IdleTimeout  time.Duration // silence allowed without a subscription; 5 min where 0
	WriteTimeout time.Duration // in which a client must take something of what is written; 10 s where 0
	MaxConns     int           // further ones get ERROR unavailable; 10,000 where 0
	MaxWork      int           // requests of one connection in work; 64 where 0
	DefBudget    time.Duration // of a request without budget_ms; 10 s where 0
	MaxBudget    time.Duration // larger ones are cut to it; 1 min where 0
	Drain        time.Duration // bound of the shutdown; 5 s where 0
	RetryAfter   time.Duration // what GOAWAY says; 500 ms where 0
	Log          *slog.Logger  // slog.Default() where nil
}

func (c *ServerConfig) defaults() {
	c.SilentAfter = cmp.Or(c.SilentAfter, time.Second)
	c.MaxLine = cmp.Or(c.MaxLine, DefaultMaxLine)
	c.MaxLines = cmp.Or(c.MaxLines, 64<<20)
	c.MaxAnswers = cmp.Or(c.MaxAnswers, 64<<20)
	c.LineTimeout = cmp.Or(c.LineTimeout, 10*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.MaxConns = cmp.Or(c.MaxConns, 10_000)
	c.MaxWork = cmp.Or(c.MaxWork, 64)
	c.DefBudget = cmp.Or(c.DefBudget, 10*time.Second)
	c.MaxBudget = cmp.Or(c.MaxBudget, time.Minute)
	c.Drain = cmp.Or(c.Drain, 5*time.Second)
	c.RetryAfter = cmp.Or(c.RetryAfter, 500*time.Millisecond)
	if c.Log == nil {
		c.Log = slog.Default()
	}
}

// Server accepts connections and hands over their frames.
type Server struct {
	cfg     ServerConfig
	leaving chan struct{} // closed when the drain begins
	wg      sync.WaitGroup
	memory  budget // of unfinished lines
	answers budget // of large answers that are being written

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// NewServer returns a Server. OnFrame is required.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.OnFrame == nil {
		return nil, errors.New("wire server needs OnFrame")
	}
	cfg.defaults()
	s := &Server{cfg: cfg, leaving: make(chan struct{}), conns: map[*Conn]struct{}{}}
	s.memory.left.Store(int64(cfg.MaxLines))
	s.answers.left.Store(int64(cfg.MaxAnswers))
	return s, nil
}

// Serve accepts on ln until ctx ends, then drains: it closes ln, sends GOAWAY, lets requests in work end, and closes all.
// What is in work after the Drain bound loses its connection and its context; Serve returns when it has ended.
// It returns nil after a drain, else why it could not accept. It must be called once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var err error
	for failing := false; ; {
		var nc net.Conn
		if nc, err = ln.Accept(); err == nil {
			failing = false
			s.accept(nc)
			continue
		}
		if ctx.Err() != nil || !isTooManyFiles(err) {
			break
		}
		if !failing {
			s.cfg.Log.Warn("accept failed", "err", err)
		}
		failing = true
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	_ = ln.Close()
	s.drain()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// accept starts a connection, or refuses it with an ERROR where there are too many.
func (s *Server) accept(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	full := len(s.conns) >= s.cfg.MaxConns
	if !full {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	s.wg.Go(func() {
		if full {
			c.Close(c.Send(ErrorFrame(&Error{
				Code: Unavailable, RetryAfterMS: s.cfg.RetryAfter.Milliseconds(),
				Message: "too many connections",
			})))
			return
		}
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// Conns returns how many connections are open.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// drain says goodbye to all and waits, within the bound.
func (s *Server) drain() {
	close(s.leaving)
	s.mu.Lock()
	for c := range s.conns {
		s.wg.Go(c.leave) // the connection itself is in wg still
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-time.After(s.cfg.Drain):
	}
	s.mu.Lock()
	for c := range s.conns {
		c.Close(errors.New("drain took too long"))
	}
	s.mu.Unlock()
	<-done
}

func (s *Server) isLeaving() bool {
	select {
	case <-s.leaving:
		return true
	default:
		return false
	}
}
