package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// ErrDown says that there is no connection now.
var ErrDown = errors.New("not connected")

// ClientConfig says how a [Client] keeps its connection.
type ClientConfig struct {
	Dial DialConfig
	// OnUp is called with each new session before anybody else gets it: the place for SUBSCRIBE or HELLO.
	// An error closes the session. May be nil.
	OnUp func(context.Context, *Session) error
	// OnDown is called when a session ended or could not be had, after its last OnFrame; not for the end of Run. May be nil.
	OnDown func(error)

	Name string       // of the other side, in Log and Peer
	Log  *slog.Logger // gets `peer up` for each session and `peer down` for its end, not for dials that fail; may be nil

	MinBackoff time.Duration // before the second dial; 50 ms where 0
	MaxBackoff time.Duration // 2 s where 0; each wait is between half and all of its step
}

// Client keeps one session to one address alive while Run runs.
type Client struct {
	cfg ClientConfig
	log *slog.Logger

	mu      sync.Mutex
	session *Session
	err     error         // why there is none; nil while the first dial is in work
	changed chan struct{} // closed at each change of the two above
	dialing bool
	ended   bool          // nobody dials any more
	hurry   chan struct{} // the wait between dials is over
}

// NewClient returns a Client; nothing is dialled before Run.
func NewClient(cfg ClientConfig) *Client {
	cfg.MinBackoff = cmp.Or(cfg.MinBackoff, 50*time.Millisecond)
	cfg.MaxBackoff = cmp.Or(cfg.MaxBackoff, 2*time.Second)
	log := cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)).With("peer", cfg.Name, "addr", cfg.Dial.Addr)
	return &Client{cfg: cfg, log: log, changed: make(chan struct{}), dialing: true, hurry: make(chan struct{}, 1)}
}

// Addr returns the address it dials.
func (c *Client) Addr() string { return c.cfg.Dial.Addr }

// Run keeps the connection until ctx ends, then closes it and returns nil. It must be called once.
func (c *Client) Run(ctx context.Context) error {
	step := c.cfg.MinBackoff
	for ctx.Err() == nil {
		up, retry := c.once(ctx)
		if up > c.cfg.MaxBackoff {
			step = c.cfg.MinBackoff // it held for a while
		}
		wait := retry + step/2 + rand.N(step/2+1)
		step = min(2*step, c.cfg.MaxBackoff)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			c.redial()
		case <-c.hurry:
			c.redial()
		}
	}
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.set(nil, fmt.Errorf("%w: client ended", ErrDown), false)
	return nil
}

// Hurry ends the wait between two dials, if there is one now, even one that a GOAWAY asked for, so that Session waits for
// the outcome of a dial of now. It is for callers who have a reason to believe that the address answers again; waits grow
// as if it had not been called.
func (c *Client) Hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil || c.dialing || c.ended {
		return
	}
	select {
	case c.hurry <- struct{}{}:
		c.err, c.dialing = nil, true
	default:
	}
}

// redial says that a dial begins.
func (c *Client) redial() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing = true
	select {
	case <-c.hurry: // it came too late for this wait, and is not for the next
	default:
	}
}

// once dials and serves one session to its end. It returns how long that was up, and how long the server asked to stay away.
func (c *Client) once(ctx context.Context) (up, retry time.Duration) {
	var asked atomic.Int64
	dial := c.cfg.Dial
	dial.OnFrame = func(f Frame) {
		var g Goaway
		if f.Type == TypeGoaway && f.Decode(&g) == nil {
			asked.Store(min(max(g.RetryAfterMS, 0), maxRetry.Milliseconds()))
		}
		if c.cfg.Dial.OnFrame != nil {
			c.cfg.Dial.OnFrame(f)
		}
	}
	s, err := Dial(ctx, dial)
	if err == nil {
		began := time.Now()
		err = c.serve(ctx, s)
		up = time.Since(began)
	}
	c.set(nil, err, false)
	if c.cfg.OnDown != nil && ctx.Err() == nil {
		c.cfg.OnDown(err)
	}
	return up, time.Duration(asked.Load()) * time.Millisecond
}

const (
	maxRetry  = time.Minute // a GOAWAY that asks for more gets this
	lastFrame = time.Second // how long Run waits for an OnFrame that runs when ctx ends
)

// serve makes one session everybody's until it ends, and returns why that was. No OnFrame of it runs any more then,
// unless ctx has ended and it hangs.
func (c *Client) serve(ctx context.Context, s *Session) error {
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	var refused error
	if c.cfg.OnUp != nil {
		if refused = c.cfg.OnUp(ctx, s); refused != nil {
			s.Close()
		}
	}
	if refused == nil {
		c.set(s, nil, false)
		c.log.Info("peer up")
	}
	<-s.Done()
	c.set(nil, cmp.Or(refused, s.Err()), false)
	if refused == nil && ctx.Err() == nil {
		c.log.Warn("peer down", "err", s.Err())
	}
	select {
	case <-s.read:
	case <-ctx.Done():
		select {
		case <-s.read:
		case <-time.After(lastFrame):
		}
	}
	return cmp.Or(refused, s.Err())
}

func (c *Client) set(s *Session, err error, dialing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.dialing = s, dialing
	if err != nil {
		c.err = err
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Session returns the session of now. While one is being dialled it waits for the outcome, at most as long as ctx;
// between dials it fails at once with what the last one failed with. Errors wrap [ErrDown].
func (c *Client) Session(ctx context.Context) (*Session, error) {
	for {
		c.mu.Lock()
		s, err, dialing, changed := c.session, c.err, c.dialing, c.changed
		c.mu.Unlock()
		switch {
		case s != nil:
			return s, nil
		case !dialing && errors.Is(err, ErrDown):
			return nil, err
		case !dialing:
			return nil, fmt.Errorf("%w: %w", ErrDown, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: still dialling %s: %w", ErrDown, c.Addr(), ctx.Err())
		}
	}
}

// Peer is the connection's row of RESP_STATUS.
func (c *Client) Peer() Peer {
	state := "down"
	if c.Up() {
		state = "up"
	}
	return Peer{Name: c.cfg.Name, Addr: c.Addr(), State: state}
}

// Up reports whether there is a session now.
func (c *Client) Up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != nil
}

// Do is [Session.Do] on the session of now.
func (c *Client) Do(ctx context.Context, f Frame) (Frame, error) {
	s, err := c.Session(ctx)
	if err != nil {
		return Frame{}, err
	}
	return s.Do(ctx, f)
}

// Stream is [Session.Stream] on the session of now.
func (c *Client) Stream(ctx context.Context, f Frame, each func(Frame) error) error {
	s, err := c.Session(ctx)
	if err != nil {
		return err
	}
	return s.Stream(ctx, f, each)
}

// Decoded sends a request with in as its payload and reads the answer's payload into out.
func Decoded(ctx context.Context, c interface {
	Do(context.Context, Frame) (Frame, error)
}, typ string, in, out any,
) error {
	f, err := c.Do(ctx, Make(typ, in))
	if err != nil {
		return err
	}
	return f.Decode(out)
}
