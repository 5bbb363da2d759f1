package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	lines  parser
	out    *lineWriter
	ctx    context.Context
	cancel context.CancelCauseFunc
	work   chan struct{} // one token a request in work
	wg     sync.WaitGroup
	holds  atomic.Int32
	freed  chan struct{} // the last hold was released
	silent atomic.Bool   // nothing has come yet and OnSilent may be asked
	bye    sync.Once     // GOAWAY
	value  atomic.Value
}

func newConn(s *Server, nc net.Conn) *Conn {
	c := &Conn{srv: s, nc: nc, work: make(chan struct{}, s.cfg.MaxWork), freed: make(chan struct{}, 1)}
	c.lines.borrow = s.cfg.Borrow
	c.in = lineReader{conn: nc, max: s.cfg.MaxLine, line: s.cfg.LineTimeout, idle: c.idle, memory: &s.memory}
	if s.cfg.OnPause != nil {
		c.in.pause = func() { s.cfg.OnPause(c) }
	}
	c.out = newLineWriter(nc, s.cfg.WriteTimeout, func(err error) { c.Close(fmt.Errorf("write: %w", err)) })
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

// Send writes one frame and returns when the connection has taken it. It blocks while the client does not read, at most
// for the write timeout; after an error the connection is closed.
func (c *Conn) Send(f Frame) error { return c.out.write(f.Append) }

// Write copies and writes whole lines, like Send.
func (c *Conn) Write(lines []byte) error {
	return c.out.write(func(b []byte) []byte { return append(b, lines...) })
}

// Writev writes whole lines without copying them, in a write of their own. The bytes must not change until it returns;
// the slice of slices is used up.
func (c *Conn) Writev(lines net.Buffers) error { return c.out.writev(lines) }

// Reply sends f as the answer to req; in its place too_large where it would be longer than a line may be, or unavailable where too
// many large ones wait for clients that read slowly. Where f is a part, which more follow, that error is returned and not sent: the
// answer is to end with it.
func (c *Conn) Reply(req, f Frame) error {
	if size := len(f.Payload); size >= largeAnswer {
		var refused *Error
		switch {
		case size > mostPayload:
			refused = Errorf(TooLarge, "%s: the answer has %d bytes, a line at most %d: ask for less", req.Type, size, DefaultMaxLine)
		case c.srv.answers.take(size):
			defer c.srv.answers.take(-size)
		default:
			refused = &Error{Code: Unavailable, Message: "too many answers wait for slow readers: ask for less, or again later", RetryAfterMS: 1000}
		}
		if refused != nil {
			if f.More {
				return refused
			}
			f = ErrorFrame(refused)
		}
	}
	f.ID = req.ID
	return c.out.answer(f.Append)
}

// Queue is Reply for OnFrame, which must not wait for the client: the answer goes out with others, soon. It waits only while much is
// queued already. An error of the connection is seen at its end.
func (c *Conn) Queue(req, f Frame) {
	if len(f.Payload) >= largeAnswer {
		c.Answer(req, func(context.Context) (Frame, error) { return f, nil })
		return
	}
	f.ID = req.ID
	_ = c.out.queue(c.ctx, f.Append)
}

// Fail sends the ERROR that err stands for as the answer to req.
func (c *Conn) Fail(req Frame, err error) error { return c.Reply(req, ErrorFrame(err)) }

// Answer runs fn in a goroutine of its own and replies with what it returns. The context ends with the connection and
// when the request's budget is spent; then the client gets deadline_exceeded at once, whatever fn does. fn must end soon
// after its context: until then it counts as work, and the server does not end. When the connection has MaxWork requests
// in work, Answer blocks, and so the reading of further ones. It is for OnFrame and OnSilent, and for fn itself.
func (c *Conn) Answer(req Frame, fn func(context.Context) (Frame, error)) {
	c.AnswerParts(req, func(ctx context.Context, _ func(Frame) error) (Frame, error) { return fn(ctx) })
}

// AnswerParts is Answer for what takes several frames: fn sends all but the last by part, as Reply does, and returns the last one. Behind
// the deadline's answer no part goes out: part returns an error.
func (c *Conn) AnswerParts(req Frame, fn func(ctx context.Context, part func(Frame) error) (Frame, error)) {
	select {
	case c.work <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	c.wg.Go(func() {
		defer func() { <-c.work }()
		c.answer(req, fn)
	})
}

func (c *Conn) answer(req Frame, fn func(context.Context, func(Frame) error) (Frame, error)) {
	ctx, cancel := context.WithTimeout(c.ctx, c.budget(req))
	defer cancel()
	told := make(chan struct{})
	var turn sync.Mutex // of the deadline's answer and the parts
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		turn.Lock()
		defer turn.Unlock()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			_ = c.Fail(req, Errorf(DeadlineExceeded, "%s: not answered within %v", req.Type, c.budget(req)))
		}
	})
	f, err := fn(ctx, func(part Frame) error {
		turn.Lock()
		defer turn.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		part.More = true
		return c.Reply(req, part)
	})
	if !stop() {
		<-told // the deadline answers, or the connection is gone
		return
	}
	if err != nil {
		f = ErrorFrame(err)
	}
	_ = c.Reply(req, f)
}

const (
	largeAnswer = 16 << 10               // bytes from which an answer counts while it is being written
	mostPayload = DefaultMaxLine - 2<<10 // of an answer: the rest is for what stands around it
)

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
		if c.holds.Add(-1) > 0 {
			return
		}
		c.in.rearm()
		select {
		case c.freed <- struct{}{}:
		default:
		}
	})
}

// Close ends the connection at once; reason is the cause of its context. Frames that are being written are cut off.
func (c *Conn) Close(reason error) {
	if reason == nil {
		reason = ErrClosed
	}
	c.cancel(reason)
	_ = c.nc.Close()
}
