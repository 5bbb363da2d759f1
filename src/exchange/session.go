package exchange

import (
	"context"
	"errors"
	"sync"
	"time"

	"quotes/src/exchange/fault"
	"quotes/src/quote"
	"quotes/src/wire"
)

// errCut ends a session as the plan says.
var errCut = errors.New("session cut")

// session is one subscriber. Events come from the market's goroutine, heartbeats and faults from the session's own.
type session struct {
	*External
	conn   *wire.Conn
	number uint64

	mu      sync.Mutex
	feedSeq uint64
	heldTo  time.Time // nothing goes out before
}

// subscribe begins a session. One a connection.
func (e *External) subscribe(c *wire.Conn, f wire.Frame) {
	if p, err := quote.ParsePattern(f.Topic); err != nil || p != "*" {
		_ = c.Fail(f, wire.Errorf(wire.BadSymbol, `external streams everything: SUBSCRIBE to "*", not %.40q`, f.Topic))
		return
	}
	if c.Value() != nil {
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "this connection has a session already"))
		return
	}
	s := &session{External: e, conn: c, number: e.sessions.Add(1) - 1}
	c.SetValue(s)
	release := c.Hold()
	if err := c.Reply(f, wire.Make(wire.TypeSubscribed, wire.Subscribed{Topic: "*", Mode: wire.ModeAll})); err != nil {
		release()
		return
	}
	e.met.sessions.Inc()
	go func() {
		defer release()
		err := s.run(c.Context())
		if errors.Is(err, ErrSlow) {
			e.met.cutoff.Inc()
			_ = c.Send(wire.ErrorFrame(wire.Errorf(wire.Unavailable, "you did not keep up: begin a new session")))
		}
		e.cfg.Log.Debug("session ended", "session", s.number, "reason", err)
		c.Close(err)
	}()
}

// run streams until the connection, the market or the plan ends it. It returns why.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cuts := s.gate.cuts()
	if err := s.beat(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel(s.live(ctx, cuts))
	}()
	err := s.market.Stream(ctx, func(events []Event) error { return s.emit(ctx, events) })
	cancel(err)
	<-done
	return context.Cause(ctx)
}

// live sends heartbeats and makes the faults of each second. It returns why the session must end.
func (s *session) live(ctx context.Context, cuts <-chan struct{}) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	const perSecond = uint64(time.Second / beat)
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-cuts:
			return errOutage
		case <-tick.C:
		}
		if n%perSecond == 0 {
			if err := s.fault(s.plan.Session(s.number, n/perSecond)); err != nil {
				return err
			}
		}
		if s.held() > 0 {
			continue
		}
		if err := s.beat(); err != nil {
			return err
		}
	}
}

// fault makes one fault.
func (s *session) fault(a fault.Action) error {
	if a == fault.None {
		return nil
	}
	s.met.faults.WithLabelValues(a.String()).Inc()
	switch a {
	case fault.CutSession:
		return errCut
	case fault.SendGarbage:
		return s.conn.Write([]byte("\x00 no frame at all }{\n"))
	case fault.HangSession:
		s.hold(s.plan.HangFor)
	case fault.DelaySession:
		s.hold(s.plan.DelayFor)
	}
	return nil
}

func (s *session) hold(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldTo = time.Now().Add(d)
}

// held returns how long nothing may go out.
func (s *session) held() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(time.Until(s.heldTo), s.gate.hung(), 0)
}

func (s *session) beat() error { return s.conn.Send(wire.Frame{Type: wire.TypeHeartbeat}) }

// emit sends a burst, when nothing holds it back any more.
func (s *session) emit(ctx context.Context, events []Event) error {
	for d := s.held(); d > 0; d = s.held() {
		if !sleep(ctx, d) {
			return ctx.Err()
		}
	}
	buf := make([]byte, 0, 320*len(events))
	for i := range events {
		e := &events[i]
		s.feedSeq++
		f := wire.Frame{Type: wire.TypePublish, Topic: string(e.Topic), FeedSeq: s.feedSeq, Snapshot: e.Snapshot, Untimed: e.Untimed, Payload: e.Payload}
		buf = f.Append(buf)
	}
	s.met.frames.Add(float64(len(events)))
	if len(buf) == 0 {
		return nil
	}
	return s.conn.Write(buf)
}
