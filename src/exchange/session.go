package exchange

import (
	"context"
	"errors"
	"net"

	"quotes/src/quote"
	"quotes/src/wire"
)

// maxEncoded is the buffer that a session keeps, in bytes.
const maxEncoded = 64 << 10

// session is one subscriber: it numbers and encodes what a stream hands over.
type session struct {
	conn    *wire.Conn
	met     *metrics
	feedSeq uint64
	buf     []byte
}

// subscribe begins a session. One a connection.
func (e *External) subscribe(c *wire.Conn, f wire.Frame) {
	if err := wanted(f); err != nil {
		_ = c.Fail(f, err)
		return
	}
	if c.Value() != nil {
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "this connection has a session already"))
		return
	}
	s := &session{conn: c, met: e.met}
	c.SetValue(s)
	release := c.Hold()
	e.work.Go(func() {
		defer release()
		err := e.serve(c.Context(), s, f)
		if errors.Is(err, ErrSlow) {
			_ = c.Send(wire.ErrorFrame(wire.Errorf(wire.Unavailable, "you did not keep up: begin a new session")))
		}
		if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, ErrSlow) || ok && timeout.Timeout() {
			e.met.cutoff.Inc()
		}
		if cause := context.Cause(c.Context()); cause != nil {
			err = cause
		}
		e.cfg.Log.Info("session ended", "peer", c.RemoteAddr(), "frames", s.feedSeq, "reason", err)
		c.Close(err)
	})
}

// wanted says why a SUBSCRIBE can't be served: a session is everything.
func wanted(f wire.Frame) error {
	if p, err := quote.ParsePattern(f.Topic); err != nil || p != "*" {
		return wire.Errorf(wire.BadSymbol, `external streams everything: SUBSCRIBE to "*", not %.40q`, f.Topic)
	}
	var sub wire.Subscribe
	if len(f.Payload) > 0 {
		if err := f.Decode(&sub); err != nil {
			return err
		}
	}
	if sub.Mode != "" && sub.Mode != wire.ModeAll {
		return wire.Errorf(wire.BadRequest, "external streams everything: mode %.20q is the broker's", sub.Mode)
	}
	return nil
}

// serve answers and streams until the connection, the market or a fault ends it. It returns why.
func (e *External) serve(ctx context.Context, s *session, f wire.Frame) error {
	if err := e.gate.await(ctx); err != nil {
		return err
	}
	if err := s.conn.Reply(f, wire.Make(wire.TypeSubscribed, wire.Subscribed{Topic: "*", Mode: wire.ModeAll})); err != nil {
		return err
	}
	e.met.sessions.Inc()
	e.cfg.Log.Info("session up", "peer", s.conn.RemoteAddr())
	return e.source.Stream(ctx, s.emit)
}

// emit sends a burst; without events it is a heartbeat.
func (s *session) emit(events []Event) error {
	if len(events) == 0 {
		return s.conn.Send(wire.Frame{Type: wire.TypeHeartbeat})
	}
	out := s.buf[:0]
	for i := range events {
		e := &events[i]
		if len(e.Garbage) > 0 {
			out = append(out, e.Garbage...)
			continue
		}
		s.feedSeq++
		f := wire.Frame{Type: wire.TypePublish, Topic: string(e.Topic), FeedSeq: s.feedSeq, Snapshot: e.Snapshot, Untimed: e.Untimed, Payload: e.Payload}
		out = f.Append(out)
		s.met.frames.Inc()
	}
	if s.buf = out; cap(s.buf) > maxEncoded {
		s.buf = nil
	}
	return s.conn.Write(out)
}
