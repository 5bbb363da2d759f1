package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed says that a connection is closed.
var ErrClosed = errors.New("connection closed")

// Conn is one accepted connection. Its methods may be called from any goroutine.
type Conn struct {
	srv    *Server
	nc     net.Conn
	in     lineReader
	out    *lineWriter
	ctx    context.Context
	cancel context.CancelCauseFunc
	work   chan struct{} // one token a request in work
	wg     sync.WaitGroup
	holds  atomic.Int32
	freed  chan struct{} // the last hold was released
	silent atomic.Bool   // nothing has come yet and OnSilent may be asked
	value  atomic.Value
}

func newConn(s *Server, nc net.Conn) *Conn {
	c := &Conn{srv: s, nc: nc, out: newLineWriter(nc, s.cfg.WriteTimeout), work: make(chan struct{}, s.cfg.MaxWork), freed: make(chan struct{}, 1)}
	c.in = lineReader{conn: nc, max: s.cfg.MaxLine, line: s.cfg.LineTimeout}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.silent.Store(s.cfg.OnSilent != nil)
	return c
}

// Context ends when the connection is closed; its cause says why.
func (c *Conn) Context() context.Context { return c.ctx }

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() string { return c.nc.RemoteAddr().String() }

// SetValue keeps what the owner wants to find again with Value. All values must be of one type.
func (c *Conn) SetValue(v any) { c.value.Store(v) }

// Value returns what SetValue kept, or nil.
func (c *Conn) Value() any { return c.value.Load() }

// Send writes one frame. It blocks while the client does not read, at most for the write timeout; after an error the
// connection is as good as closed.
func (c *Conn) Send(f Frame) error {
	return c.wrote(c.out.write(f.Append))
}

// Write copies and writes whole lines.
func (c *Conn) Write(lines []byte) error {
	return c.wrote(c.out.write(func(b []byte) []byte { return append(b, lines...) }))
}

// Writev writes whole lines without copying them; they must not change until it returns.
func (c *Conn) Writev(lines net.Buffers) error { return c.wrote(c.out.writev(lines)) }

func (c *Conn) wrote(err error) error {
	if err != nil {
		c.Close(fmt.Errorf("write: %w", err))
	}
	return err
}

// Reply sends f as the answer to req.
func (c *Conn) Reply(req, f Frame) error {
	f.ID = req.ID
	return c.Send(f)
}

// Fail sends the ERROR that err stands for as the answer to req.
func (c *Conn) Fail(req Frame, err error) error { return c.Reply(req, ErrorFrame(err)) }

// Answer runs fn in a goroutine of its own and replies with what it returns. The context ends with the connection and
// when the request's budget is spent; then the client gets deadline_exceeded at once, whatever fn does. When the
// connection has MaxWork requests in work, Answer blocks, and so the reading of further ones.
func (c *Conn) Answer(req Frame, fn func(context.Context) (Frame, error)) {
	select {
	case c.work <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	c.wg.Go(func() {
		defer func() { <-c.work }()
		ctx, cancel := context.WithTimeout(c.ctx, c.budget(req))
		defer cancel()
		stop := context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				_ = c.Fail(req, Errorf(DeadlineExceeded, "%s: not answered within %v", req.Type, c.budget(req)))
			}
		})
		f, err := fn(ctx)
		if !stop() {
			return // the deadline has answered, or the connection is gone
		}
		if err != nil {
			f = ErrorFrame(err)
		}
		_ = c.Reply(req, f)
	})
}

// budget returns how long the request may take.
func (c *Conn) budget(req Frame) time.Duration {
	if req.BudgetMS == 0 {
		return c.srv.cfg.DefBudget
	}
	return time.Duration(min(req.BudgetMS, c.srv.cfg.MaxBudget.Milliseconds())) * time.Millisecond
}

// userTimeout is how long written bytes may stay unacknowledged on a held connection.
const userTimeout = 3 * time.Second

// Hold keeps the connection open through silence and half-close, until release is called or a write fails.
func (c *Conn) Hold() (release func()) {
	if c.holds.Add(1) == 1 {
		setUserTimeout(c.nc, userTimeout)
	}
	return sync.OnceFunc(func() {
		if c.holds.Add(-1) == 0 {
			_ = c.nc.SetReadDeadline(time.Now().Add(c.srv.cfg.IdleTimeout))
			select {
			case c.freed <- struct{}{}:
			default:
			}
		}
	})
}

// Close ends the connection; reason is the cause of its context. Frames that are being written are cut off.
func (c *Conn) Close(reason error) {
	if reason == nil {
		reason = ErrClosed
	}
	c.cancel(reason)
	_ = c.nc.Close()
}

// goaway tells the client that the server leaves, and stops reading. What is in work is answered.
func (c *Conn) goaway() {
	_ = c.Send(Make(TypeGoaway, Goaway{RetryAfterMS: c.srv.cfg.RetryAfter.Milliseconds()}))
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// serve reads until the end and closes the connection.
func (c *Conn) serve() {
	var taken bool
	reason := c.read(&taken)
	if taken {
		return
	}
	if isEOF(reason) {
		c.halfClosed()
	}
	c.wg.Wait()
	c.out.drain()
	if c.srv.cfg.OnClose != nil {
		c.srv.cfg.OnClose(c, reason)
	}
	c.Close(reason)
}

// halfClosed waits while a held connection only listens.
func (c *Conn) halfClosed() {
	for c.holds.Load() > 0 {
		select {
		case <-c.ctx.Done():
			return
		case <-c.srv.leaving:
			return
		case <-c.freed:
		}
	}
}

// read hands over frames until the connection ends, and returns why.
func (c *Conn) read(taken *bool) error {
	first := true
	for {
		line, err := c.in.next(c.idle)
		switch {
		case err == nil:
		case c.srv.isLeaving():
			return context.Canceled
		case c.silent.Load() && (isEOF(err) || errors.Is(err, os.ErrDeadlineExceeded)):
			c.silent.Store(false)
			if c.srv.cfg.OnSilent(c) || isEOF(err) {
				return err
			}
			continue
		default:
			c.complain(err)
			return err
		}
		c.silent.Store(false)
		if first && c.srv.cfg.OnFirst != nil && c.srv.cfg.OnFirst(c, line) {
			*taken = true
			return nil
		}
		first = false
		if err := c.handle(line); err != nil {
			return err
		}
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
	}
}

// handle parses one line and hands it over. An error means that the connection must be closed.
func (c *Conn) handle(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil // an empty line is a courtesy to people who type
	}
	f, err := ParseFrame(line)
	switch {
	case errors.Is(err, ErrNotObject):
		_ = c.Fail(f, Errorf(BadRequest, "%v", err))
		return err
	case err != nil:
		_ = c.Fail(f, err)
		return nil
	}
	c.srv.cfg.OnFrame(c, f)
	return nil
}

// complain tells the client why it is cut off, where it is its own doing.
func (c *Conn) complain(err error) {
	switch {
	case errors.Is(err, errTooLong):
		_ = c.Send(ErrorFrame(Errorf(TooLarge, "line is longer than %d bytes", c.srv.cfg.MaxLine)))
	case errors.Is(err, errSlow):
		_ = c.Send(ErrorFrame(Errorf(BadRequest, "line not complete %v after its first byte", c.srv.cfg.LineTimeout)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		_ = c.Send(ErrorFrame(Errorf(Unavailable, "idle for %v without a subscription", c.srv.cfg.IdleTimeout)))
	}
}

// idle returns how long the client may be silent now.
func (c *Conn) idle() time.Duration {
	switch {
	case c.srv.isLeaving():
		return time.Nanosecond
	case c.silent.Load():
		return c.srv.cfg.SilentAfter
	case c.holds.Load() > 0:
		return 0
	}
	return c.srv.cfg.IdleTimeout
}

// Takeover gives the bare connection to OnFirst's caller: reads begin with the first line that was seen.
func (c *Conn) Takeover(first []byte) net.Conn {
	_ = c.nc.SetReadDeadline(time.Time{})
	head := append(append(bytes.Clone(first), '\n'), c.in.buffered()...)
	return &prefixed{Conn: c.nc, head: head}
}

// prefixed is a connection some of whose bytes were read already.
type prefixed struct {
	net.Conn
	head []byte
}

// Read returns the bytes read already first.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.head)
	p.head = p.head[n:]
	return n, nil
}
