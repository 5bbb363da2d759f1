package shard

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of HELLO and WELCOME.
const (
	maxHelloTopics = 1 << 18
	welcomeBytes   = 256 << 10 // of records in one WELCOME
)

// caller is what the shard knows of one connection. Only its reading goroutine uses it.
type caller struct {
	parts []wire.HelloTopic // of a HELLO that is not complete yet
	core  *session          // its accepted HELLO
}

// hello takes a HELLO. It runs on the reading goroutine: what core sends behind it is read when it is stored.
func (s *Shard) hello(c *wire.Conn, f wire.Frame, me *caller) {
	var h wire.Hello
	if err := f.Decode(&h); err != nil {
		_ = c.Fail(f, err)
		return
	}
	if h.Epoch == 0 {
		c.Answer(f, func(ctx context.Context) (wire.Frame, error) {
			return s.welcome(ctx, func(part wire.Frame) error { return c.Reply(f, part) })
		})
		return
	}
	err := s.checkHello(h, len(me.parts))
	if err != nil {
		me.parts = nil
		_ = c.Fail(f, err)
		return
	}
	for _, t := range h.Topics {
		me.parts = append(me.parts, wire.HelloTopic{Topic: t.Topic, Next: t.Next}) // the records are for the broker
	}
	if h.More {
		return
	}
	now := time.Now()
	core := &session{
		epoch: h.Epoch, instance: h.Instance, addr: c.RemoteAddr(), since: now, heard: now,
		close: func(err error) { _ = c.Send(wire.ErrorFrame(err)); c.Close(err) },
	}
	w := &write{core: core, announce: true, hello: me.parts}
	me.parts = nil
	if _, err = s.committer.do(c.Context(), w); err != nil {
		s.refuse(c, f, err)
		return
	}
	me.core = core
	s.log.Info("core up", "addr", core.addr, "epoch", core.epoch, "instance", core.instance, "topics", len(w.hello))
	_ = c.Reply(f, wire.Make(wire.TypeWelcome, wire.Welcome{HighestEpoch: h.Epoch}))
}

// checkHello checks what needs no fence.
func (s *Shard) checkHello(h wire.Hello, before int) error {
	if h.Role != "publisher" {
		return wire.Errorf(wire.BadRequest, "role is %q, want publisher", h.Role)
	}
	if before+len(h.Topics) > maxHelloTopics {
		return wire.Errorf(wire.BadRequest, "HELLO names more than %d topics", maxHelloTopics)
	}
	for _, t := range h.Topics {
		if err := s.checkTopic(t.Topic); err != nil {
			return err
		}
		if t.Next > maxSeq {
			return wire.Errorf(wire.BadRequest, "next of %s is %d, at most %d", t.Topic, t.Next, uint64(maxSeq))
		}
	}
	return nil
}

// checkTopic says why we can't keep a topic: bad_symbol, or moved.
func (s *Shard) checkTopic(t quote.Topic) error {
	if _, err := quote.ParseTopic(string(t)); err != nil {
		return err
	}
	if t.Symbol() == "" {
		return wire.Errorf(wire.BadSymbol, "shards do not keep %s", t)
	}
	return s.state.checkOwner(t.Symbol(), placement.Slot(string(t.Symbol())))
}

// refuse answers with an error; one whose epoch is over is cut off.
func (s *Shard) refuse(c *wire.Conn, f wire.Frame, err error) {
	_ = c.Fail(f, err)
	if wire.CodeOf(err) == wire.StaleEpoch {
		s.log.Warn("core refused", "addr", c.RemoteAddr(), "err", err)
		c.Close(err)
	}
}

// welcome answers a HELLO that only asks: the newest record of every topic, in bounded frames.
func (s *Shard) welcome(ctx context.Context, send func(wire.Frame) error) (wire.Frame, error) {
	w := wire.Welcome{HighestEpoch: s.state.fenceNow().epoch}
	names := s.state.all()
	v := s.engine.View()
	defer func() { _ = v.Close() }()
	records := newReader(v, s.cfg.block)
	size := 0
	for _, t := range names {
		p, found := s.state.newest(t)
		if !found {
			continue
		}
		r, stored, err := records.lookup(t, p)
		if err == nil && !stored {
			err = fmt.Errorf("record %d/%d of %s: %w", p.Epoch, p.Seq, t, errLostRow)
		}
		if err != nil {
			return wire.Frame{}, err
		}
		if size += len(r.payload) + rowOverhead; size > welcomeBytes && len(w.Topics) > 0 {
			w.More = true
			part := wire.Make(wire.TypeWelcome, w)
			part.More = true
			if err := send(part); err != nil {
				return wire.Frame{}, err
			}
			w.Topics, w.More, size = nil, false, len(r.payload)+rowOverhead
		}
		w.Topics = append(w.Topics, wire.WelcomeTopic{Topic: t, Last: wire.Record{Epoch: p.Epoch, Seq: p.Seq, Payload: bytes.Clone(r.payload)}})
		if err := ctx.Err(); err != nil {
			return wire.Frame{}, err
		}
	}
	return wire.Make(wire.TypeWelcome, w), nil
}
