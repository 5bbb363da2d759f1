package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Numbers of the links to the broker and the shards.
const (
	beat       = time.Second            // an empty HEARTBEAT: silence is ours, never the market's
	answerWait = 3 * time.Second        // for WELCOME
	helloBytes = 256 << 10              // of one HELLO frame, about
	minRetry   = 50 * time.Millisecond  // between dials, with jitter, doubling
	maxRetry   = 500 * time.Millisecond // a laptop's broker is back in no time; a cluster's is one dial
)

// publisher is the link to the broker. Until the first HELLO it keeps what is published, within the limit. Later it keeps
// nothing for a broker that is away: what was published meanwhile shows in the next HELLO.
type publisher struct {
	addr  string
	limit int // bytes that may wait
	met   *metrics

	mu       sync.Mutex
	attached bool   // lines are being taken
	overflow bool   // too much waited: the session must end and begin anew
	buf      []byte // lines to write
	ready    chan struct{}
	first    []wire.HelloTopic // of the first HELLO: the topics before anything was published; nil once it was said
}

func newPublisher(addr string, limit int, met *metrics) *publisher {
	return &publisher{addr: addr, limit: limit, met: met, ready: make(chan struct{}, 1)}
}

// add takes a frame for the broker, if one is there.
func (p *publisher) add(f *wire.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.attached {
		return
	}
	p.buf = f.Append(p.buf)
	if len(p.buf) > p.limit {
		p.attached, p.overflow, p.buf = false, true, nil
	}
	p.wake()
}

// prime begins to take lines for the first session, whose HELLO names the topics as they are now.
func (p *publisher) prime(topics []wire.HelloTopic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached, p.first = true, topics
}

// hello returns the topics for a session's HELLO; lines are taken from there on.
func (p *publisher) hello(b *book) []wire.HelloTopic {
	p.mu.Lock()
	if first := p.first; first != nil && p.attached {
		p.mu.Unlock()
		return first
	}
	p.first = nil
	p.mu.Unlock()
	return b.hello(p.attach)
}

// attach begins to take lines.
func (p *publisher) attach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached, p.overflow, p.buf = true, false, nil
}

// detach ends that, unless the first HELLO is still to be said.
func (p *publisher) detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		p.attached, p.buf = false, nil
	}
}

// said notes that HELLO was answered, and has what waits written.
func (p *publisher) said() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = nil
	p.wake()
}

func (p *publisher) wake() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// take returns what waits and gives buf back for what comes next.
func (p *publisher) take(buf []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.overflow {
		return nil, fmt.Errorf("broker is too slow: more than %d bytes waited", p.limit)
	}
	out := p.buf
	p.buf = buf[:0]
	return out, nil
}

// serve is one session with the broker: HELLO with every topic, then lines and heartbeats until it ends.
func (p *publisher) serve(ctx context.Context, b *book, instance string, up func()) error {
	var mu sync.Mutex
	var told error // an ERROR that the broker sent by itself
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: p.addr, OnFrame: func(f wire.Frame) {
		if f.Type == wire.TypeError {
			mu.Lock()
			told = cmp.Or(told, wire.ErrorOf(f)) // the first one says why; there may be one for each line
			mu.Unlock()
		}
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)() // a write that hangs must not hold up a stop
	defer p.detach()
	if _, err := greet(ctx, s, b.epoch, instance, p.hello(b)); err != nil {
		return err
	}
	p.said()
	up()
	err = p.pump(ctx, s)
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(told, err)
}

// pump writes lines in bursts until the session ends.
func (p *publisher) pump(ctx context.Context, s *wire.Session) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Done():
			return s.Err()
		case <-tick.C:
			if err := s.Send(wire.Frame{Type: wire.TypeHeartbeat}); err != nil {
				return err
			}
		case <-p.ready:
			out, err := p.take(buf)
			if err != nil {
				return err
			}
			if len(out) > 0 {
				if err := s.Write(out); err != nil {
					return err
				}
			}
			buf = out
		}
	}
}

// greet sends HELLO in bounded frames and returns the answers' topics and the highest epoch they name.
// An epoch of 0 only asks.
func greet(ctx context.Context, s *wire.Session, epoch uint64, instance string, topics []wire.HelloTopic) (wire.Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	h := wire.Hello{Role: "publisher", Epoch: epoch, Instance: instance}
	size := 0
	for i, t := range topics {
		h.Topics = append(h.Topics, t)
		if size += 128; t.Last != nil {
			size += len(t.Last.Payload)
		}
		if size >= helloBytes && i < len(topics)-1 {
			h.More = true
			if err := s.Send(wire.Make(wire.TypeHello, h)); err != nil {
				return wire.Welcome{}, err
			}
			h.Topics, h.More, size = nil, false, 0
		}
	}
	var all wire.Welcome
	err := s.Stream(ctx, wire.Make(wire.TypeHello, h), func(f wire.Frame) error {
		var w wire.Welcome
		if err := f.Decode(&w); err != nil {
			return err
		}
		all.HighestEpoch = max(all.HighestEpoch, w.HighestEpoch)
		all.Topics = append(all.Topics, w.Topics...)
		return nil
	})
	return all, err
}

// newestByTopic keeps the newest of the records that several shards named.
func newestByTopic(into map[quote.Topic]wire.Record, topics []wire.WelcomeTopic) {
	for _, t := range topics {
		t.Last.Topic = t.Topic
		if have, ok := into[t.Topic]; !ok || have.Point().Compare(t.Last.Point()) < 0 {
			into[t.Topic] = t.Last
		}
	}
}
