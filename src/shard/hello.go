package shard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/shard/engine"
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
		c.AnswerParts(f, s.welcome)
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
		close: func(why error) { go dismiss(c, why) }, // the committer waits for nobody who does not read
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

// welcome answers a HELLO that only asks: the newest record of every topic, in bounded frames, of which all but the last go through send.
func (s *Shard) welcome(ctx context.Context, send func(wire.Frame) error) (wire.Frame, error) {
	w := wire.Welcome{HighestEpoch: s.state.fenceNow().epoch, More: true}
	for names := s.state.all(); ; {
		var err error
		if w.Topics, names, err = s.newestRecords(ctx, names); err != nil {
			s.readFailed(err)
			return wire.Frame{}, err
		}
		w.More = len(names) > 0
		f := wire.Make(wire.TypeWelcome, w)
		if !w.More {
			return f, nil
		}
		if err := send(f); err != nil { // with no view open: who asks may read slowly
			return wire.Frame{}, err
		}
	}
}

// newestRecords reads the newest record of each of some topics, as many as go into a frame, and returns the topics that are left.
func (s *Shard) newestRecords(ctx context.Context, names []quote.Topic) (out []wire.WelcomeTopic, left []quote.Topic, err error) {
	newest, v := s.newestNow(names[:min(len(names), welcomeBytes/rowOverhead)])
	defer func() { err = errors.Join(err, v.Close()) }()
	records := newReader(v, s.cfg.block)
	size := 0
	for i, p := range newest {
		if p.IsZero() {
			continue
		}
		r, stored, err := records.lookup(names[i], p)
		if err == nil && !stored {
			err = fmt.Errorf("record %d/%d of %s: %w", p.Epoch, p.Seq, names[i], errLostRow)
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, nil, err
		}
		if size += len(r.payload) + rowOverhead; size > welcomeBytes && len(out) > 0 {
			return out, names[i:], nil
		}
		out = append(out, wire.WelcomeTopic{Topic: names[i], Last: wire.Record{Epoch: p.Epoch, Seq: p.Seq, Payload: bytes.Clone(r.payload)}})
	}
	return out, names[len(newest):], nil
}

// newestNow notes the newest position of each topic, zero where it has none, and returns a view in which their records are stored.
func (s *Shard) newestNow(names []quote.Topic) ([]quote.Point, engine.View) {
	newest := make([]quote.Point, len(names))
	return newest, s.viewOf(func() {
		for i, t := range names {
			newest[i], _ = s.state.newest(t)
		}
	})
}

// dismissWait is how long a core that is replaced may take to be told so.
const dismissWait = time.Second

// dismiss tells a connection why it is closed, and closes it: at once where that is not taken.
func dismiss(c *wire.Conn, why error) {
	late := time.AfterFunc(dismissWait, func() { c.Close(why) })
	defer late.Stop()
	_ = c.Send(wire.ErrorFrame(why))
	c.Close(why)
}
