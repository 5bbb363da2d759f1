package wire

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// DialConfig says how to open a [Session].
type DialConfig struct {
	Addr string // HOST:PORT; the name is resolved anew by each dial
	// OnFrame gets what answers no request (PUBLISH, HEARTBEAT, LOST, GOAWAY, ERROR without id), in order, on the reading
	// goroutine: while it runs nothing else is read. May be nil.
	OnFrame func(Frame)
	// Borrow saves a copy of each payload: what OnFrame gets is valid until it returns.
	Borrow bool
	// Touched is called whenever bytes arrive, before they are parsed. May be nil.
	Touched func()

	Dialer       func(ctx context.Context, network, addr string) (net.Conn, error) // net.Dialer's where nil
	DialTimeout  time.Duration                                                     // 3 s where 0
	WriteTimeout time.Duration                                                     // one write; 10 s where 0
	MaxLine      int                                                               // longest line in bytes; DefaultMaxLine where 0
}

// Session is one client connection. Its methods may be called from any goroutine.
type Session struct {
	nc   net.Conn
	cfg  DialConfig
	out  *lineWriter
	done chan struct{}
	read chan struct{} // closed when nothing is read any more, and no OnFrame runs

	mu      sync.Mutex
	next    uint64
	pending map[uint64]*call
	err     error // why it ended
}

// call is one request that waits.
type call struct {
	replies chan Frame // what has come and was not taken yet
	gone    chan struct{}
}

// Dial opens a connection. The context bounds the dialling only.
func Dial(ctx context.Context, cfg DialConfig) (*Session, error) {
	if cfg.Dialer == nil {
		cfg.Dialer = (&net.Dialer{}).DialContext
	}
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 3*time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 10*time.Second)
	cfg.MaxLine = cmp.Or(cfg.MaxLine, DefaultMaxLine)
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	nc, err := cfg.Dialer(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: dial %s: %w", ErrDown, cfg.Addr, err)
	}
	setUserTimeout(nc, userTimeout)
	s := &Session{nc: nc, cfg: cfg, done: make(chan struct{}), read: make(chan struct{}), pending: map[uint64]*call{}}
	s.out = newLineWriter(nc, cfg.WriteTimeout, func(err error) { s.fail(fmt.Errorf("write: %w", err)) })
	go s.serve()
	return s, nil
}

// Done is closed when the session has ended; Err then says why.
func (s *Session) Done() <-chan struct{} { return s.done }

// Drained is closed when nothing is read any more and no OnFrame runs.
func (s *Session) Drained() <-chan struct{} { return s.read }

// Err returns why the session ended, or nil while it lives. It wraps [ErrClosed].
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session: requests that wait fail.
func (s *Session) Close() { s.fail(ErrClosed) }

// LocalAddr returns this end's address.
func (s *Session) LocalAddr() string { return s.nc.LocalAddr().String() }

// Send writes a frame that has no answer. It blocks while the server does not read, at most for the write timeout.
func (s *Session) Send(f Frame) error { return s.wrote(s.out.write(f.Append)) }

// Write copies and writes whole lines, like Send.
func (s *Session) Write(lines []byte) error {
	return s.wrote(s.out.write(func(b []byte) []byte { return append(b, lines...) }))
}

// wrote returns why the session ended in place of what the connection said of it.
func (s *Session) wrote(err error) error {
	if err != nil {
		return s.Err()
	}
	return nil
}

// Do sends a request and waits for its one answer. An ERROR is returned as an [*Error]; so is a passed deadline.
// The time that ctx leaves crosses the wire as budget_ms. It returns when ctx ends, even while the server reads nothing.
func (s *Session) Do(ctx context.Context, f Frame) (Frame, error) {
	var reply Frame
	err := s.Stream(ctx, f, func(r Frame) error { reply = r; return nil })
	return reply, err
}

// Stream sends a request and calls each for every reply, up to the one without more. An error of each ends it and is
// returned; replies that come later are dropped.
func (s *Session) Stream(ctx context.Context, f Frame, each func(Frame) error) error {
	c, err := s.ask(ctx, &f)
	if err != nil {
		return err
	}
	defer s.forget(f.ID, c)
	for {
		r, err := s.await(ctx, f, c)
		if err != nil {
			return err
		}
		if r.Type == TypeError {
			return replyError(r)
		}
		if err := each(r); err != nil || !r.More {
			return err
		}
	}
}

// await waits for the next reply. What came before the end of the session still counts.
func (s *Session) await(ctx context.Context, f Frame, c *call) (Frame, error) {
	select {
	case r := <-c.replies:
		return r, nil
	default:
	}
	select {
	case r := <-c.replies:
		return r, nil
	case <-ctx.Done():
		return Frame{}, s.given(f, ctx.Err())
	case <-s.done:
		select {
		case r := <-c.replies:
			return r, nil
		default:
			return Frame{}, s.Err()
		}
	}
}

// given returns what a request that was given up fails with.
func (s *Session) given(f Frame, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", Errorf(DeadlineExceeded, "no answer to %s from %s", f.Type, s.cfg.Addr), err)
	}
	return err
}

// replyError returns what an ERROR frame carries.
func replyError(f Frame) error {
	var e Error
	if err := f.Decode(&e); err != nil || e.Code == "" {
		return Errorf(Internal, "malformed ERROR: %.200s", f.Payload)
	}
	return &e
}

// ErrorOf returns the [*Error] that an ERROR frame carries, for those who get frames without asking.
func ErrorOf(f Frame) error { return replyError(f) }

// escaped is how many bytes one of a string may become in a line.
const escaped = len(`\u0000`)

// ask gives a request its budget and its id, and queues it. Who gets no error must forget it.
func (s *Session) ask(ctx context.Context, f *Frame) (*call, error) {
	if size := len(f.Payload) + escaped*len(f.Topic); size > mostPayload { // a server would end the session, and so all that is asked on it
		return nil, Errorf(TooLarge, "%s: the question has %d bytes, a line at most %d: ask for less", f.Type, size, DefaultMaxLine)
	}
	if f.BudgetMS == 0 {
		if deadline, ok := ctx.Deadline(); ok {
			f.BudgetMS = max(time.Until(deadline).Milliseconds(), 1)
		}
	}
	c, err := s.enrol(f)
	if err != nil {
		return nil, err
	}
	if err := s.out.queue(ctx, f.Append); err != nil {
		s.forget(f.ID, c)
		if ctx.Err() != nil {
			return nil, s.given(*f, ctx.Err())
		}
		return nil, s.Err()
	}
	return c, nil
}

// enrol gives the request an id and remembers it.
func (s *Session) enrol(f *Frame) (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.next++
	f.ID = s.next
	c := &call{replies: make(chan Frame, 1), gone: make(chan struct{})}
	s.pending[f.ID] = c
	return c, nil
}

func (s *Session) forget(id uint64, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
	close(c.gone)
}

// serve hands over what comes until the connection ends.
func (s *Session) serve() {
	defer close(s.read)
	p := parser{borrow: s.cfg.Borrow}
	in := lineReader{conn: s.nc, max: s.cfg.MaxLine, line: time.Minute, touched: s.cfg.Touched, idle: func() time.Duration { return 0 }}
	for {
		line, err := in.next()
		if err != nil {
			s.fail(err)
			return
		}
		if len(trim(line)) == 0 {
			continue
		}
		var f Frame
		if err := p.parse(line, &f); err != nil {
			s.fail(fmt.Errorf("it sent garbage: %s", err.Error())) // not wrapped: its code is not about a request of ours
			return
		}
		s.dispatch(&f)
	}
}

// dispatch gives a reply to who waits for it, and what answers nothing to OnFrame. Replies to requests that were given
// up are dropped. A caller that is slow to take its replies stops the reading: that is the back-pressure of a Stream.
func (s *Session) dispatch(f *Frame) {
	if f.ID == 0 {
		if s.cfg.OnFrame != nil {
			s.cfg.OnFrame(*f)
		}
		return
	}
	if s.cfg.Borrow {
		f.Payload = bytes.Clone(f.Payload)
	}
	s.mu.Lock()
	c := s.pending[f.ID]
	s.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c.replies <- *f:
		return
	default:
	}
	select {
	case c.replies <- *f:
	case <-c.gone:
	case <-s.done:
	}
}

// fail ends the session with its first error.
func (s *Session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("%w by %s: %w", ErrClosed, s.cfg.Addr, err)
	}
	s.err = err
	_ = s.nc.Close()
	close(s.done)
}
