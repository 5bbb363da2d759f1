package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"quotes/src/broker"
	"quotes/src/quote"
	"quotes/src/wire"
)

// oursSystem is our broker with its defaults, and sessions of package wire, as quotectl has.
func oursSystem() *system {
	return &system{name: "ours", publish: publishOurs, subscribe: subscribeOurs}
}

// serveOurs runs until the process is killed.
func serveOurs(args []string) error {
	cfg := broker.Config{Log: slog.New(slog.DiscardHandler)}
	fs := pflag.NewFlagSet("broker", pflag.ContinueOnError)
	cfg.Flags(fs)
	if err := fs.Parse(append([]string{"--listen", "127.0.0.1:0"}, args...)); err != nil {
		return err
	}
	b, err := broker.New(cfg)
	if err != nil {
		return err
	}
	tidyOnSignal()
	fmt.Println(b.Addr())
	return b.Run(context.Background())
}

// ourPublisher is core's side: HELLO, then PUBLISH with positions, written in bursts of a few KiB as core does.
type ourPublisher struct {
	s      *wire.Session
	topics []string
	epoch  uint64
	seqs   []uint64
	buf    []byte
}

const burst = 32 << 10 // what core writes at once, at most

func publishOurs(addr string, topics []string) (publisher, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: addr})
	if err != nil {
		return nil, err
	}
	p := &ourPublisher{s: s, topics: topics, epoch: uint64(time.Now().UnixMilli()), seqs: make([]uint64, len(topics))}
	_, err = s.Do(ctx, wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: p.epoch, Instance: strconv.FormatUint(p.epoch, 36)}))
	return p, err
}

func (p *ourPublisher) publish(topic int, payload []byte) error {
	prev := p.seqs[topic]
	p.seqs[topic]++
	f := wire.Frame{Type: wire.TypePublish, Topic: p.topics[topic], Epoch: p.epoch, Seq: prev + 1, Prev: &prev, Payload: payload}
	if p.buf = f.Append(p.buf); len(p.buf) < burst {
		return nil
	}
	return p.flush()
}

func (p *ourPublisher) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	err := p.s.Write(p.buf)
	p.buf = p.buf[:0]
	return err
}

func (p *ourPublisher) close() { p.s.Close() }

// ourReader checks what our protocol promises as it goes: what was skipped or lost is counted.
type ourReader struct {
	s      *wire.Session
	missed atomic.Int64
}

func subscribeOurs(addr string, patterns []string, each func([]byte)) (reader, error) {
	return subscribeFrom(addr, patterns, nil, each)
}

func subscribeFrom(addr string, patterns []string, from map[quote.Topic]quote.Point, each func([]byte)) (reader, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r := &ourReader{}
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: addr, Borrow: true, OnFrame: func(f wire.Frame) {
		switch f.Type {
		case wire.TypePublish:
			if f.Skipped > 0 {
				r.missed.Add(int64(f.Skipped))
			}
			each(f.Payload)
		case wire.TypeLost, wire.TypeError:
			r.missed.Add(1)
		}
	}})
	if err != nil {
		return nil, err
	}
	r.s = s
	snapshot := false
	for _, p := range patterns {
		f := wire.Make(wire.TypeSubscribe, wire.Subscribe{Mode: wire.ModeAll, Snapshot: &snapshot, From: from})
		f.Topic = p
		if _, err := s.Do(ctx, f); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *ourReader) lost() int { return int(r.missed.Load()) }

func (r *ourReader) close() { r.s.Close() }
