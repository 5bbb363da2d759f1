package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memRoom is how much one direction of a connection in memory holds unread.
const memRoom = 256 << 10

// memHalf is one direction of a connection in memory.
type memHalf struct {
	mu       sync.Mutex
	buf      []byte
	room     int
	eof      bool // nothing is written any more
	gone     bool // nobody reads any more
	deadline [2]time.Time
	changed  chan struct{}
}

const (
	reading = iota
	writing
)

func newHalf(room int) *memHalf { return &memHalf{room: room, changed: make(chan struct{})} }

// change runs fn and wakes everybody.
func (h *memHalf) change(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn()
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait sleeps until something has changed or the deadline has passed. The lock is held on entry and return.
func (h *memHalf) wait(side int) error {
	changed, at := h.changed, h.deadline[side]
	h.mu.Unlock()
	defer h.mu.Lock()
	if at.IsZero() {
		<-changed
		return nil
	}
	left := time.Until(at)
	if left <= 0 {
		return os.ErrDeadlineExceeded
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

func (h *memHalf) expired(side int) bool {
	at := h.deadline[side]
	return !at.IsZero() && !time.Now().Before(at)
}

func (h *memHalf) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone:
			return 0, net.ErrClosed
		case h.expired(reading):
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(b, h.buf)
			h.buf = h.buf[n:]
			close(h.changed)
			h.changed = make(chan struct{})
			return n, nil
		case h.eof:
			return 0, io.EOF
		}
		if err := h.wait(reading); err != nil {
			return 0, err
		}
	}
}

func (h *memHalf) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone, h.eof:
			return n, net.ErrClosed
		case h.expired(writing):
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		}
		if free := min(h.room-len(h.buf), len(b)-n); free > 0 {
			h.buf = append(h.buf, b[n:n+free]...)
			n += free
			close(h.changed)
			h.changed = make(chan struct{})
			continue
		}
		if err := h.wait(writing); err != nil {
			return n, err
		}
	}
}

// memConn is one end of a connection in memory, with deadlines and half-close, fit for synctest.
type memConn struct {
	in, out *memHalf
	writes  chan int // the length of each write, where somebody wants to know
}

func memPair(room int) (a, b *memConn) {
	x, y := newHalf(room), newHalf(room)
	return &memConn{in: x, out: y}, &memConn{in: y, out: x}
}

func (c *memConn) Read(b []byte) (int, error) { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error) {
	if c.writes != nil {
		c.writes <- len(b)
	}
	return c.out.write(b)
}
func (c *memConn) CloseWrite() error { c.out.change(func() { c.out.eof = true }); return nil }
func (c *memConn) Close() error {
	c.in.change(func() { c.in.gone = true })
	return c.CloseWrite()
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline[reading] = t })
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.out.deadline[writing] = t })
	return nil
}

func (c *memConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *memConn) LocalAddr() net.Addr  { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return memAddr{} }

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "mem" }

// memListener accepts what its dial connects.
type memListener struct {
	room   int
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func memListen() *memListener {
	return &memListener{room: memRoom, accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *memListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memListener) Addr() net.Addr { return memAddr{} }

func (l *memListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := memPair(l.room)
	select {
	case l.accept <- b:
		return a, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
