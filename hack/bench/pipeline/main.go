// Command pipeline measures the whole way of a tick, through all seven processes: make bench-pipeline.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"quotes/hack/bench/bench"
	"quotes/hack/bench/world"
	"quotes/src/quote"
	"quotes/src/wire"
)

// The work: 17,000 quotes a second and the trades that come with them, 20,400 ticks in all, to subscribers to everything.
const (
	symbols     = 50
	rate        = 340 // quotes a second and symbol; a fifth as many trades
	subscribers = 10
	warm        = 5 * time.Second
	length      = 20 * time.Second
)

func main() {
	rows, err := measure()
	if len(rows) > 0 {
		err = errors.Join(err, bench.Print(os.Stdout, "pipeline", rows))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench pipeline:", err)
		os.Exit(1)
	}
}

func measure() ([]bench.Row, error) {
	w, err := world.New(world.Symbols(symbols), rate)
	if w != nil {
		defer w.Close()
	}
	if err != nil {
		return nil, err
	}
	var all []*subscriber
	for i := range subscribers {
		s, err := subscribe(w.Addr["broker"], i == 0)
		if err != nil {
			return nil, err
		}
		defer s.session.Close()
		all = append(all, s)
	}
	time.Sleep(warm)
	before := make([]int64, len(all))
	for i, s := range all {
		before[i] = s.frames.Load()
	}
	all[0].timing.Store(true)
	began := time.Now()
	time.Sleep(length)
	took := time.Since(began).Seconds()
	all[0].timing.Store(false)
	slowest := 0.0
	var gaps int64
	for i, s := range all {
		if r := float64(s.frames.Load()-before[i]) / took; i == 0 || r < slowest {
			slowest = r
		}
		gaps += s.gaps.Load()
	}
	memory := 0.0
	for _, name := range w.Names {
		rss, err := w.RSS(name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "  %s: %.0f MiB\n", name, rss/(1<<20))
		memory += rss
	}
	lost, err := stored(w)
	if err != nil {
		return nil, err
	}
	all[0].session.Close()
	<-all[0].session.Drained()
	late := all[0].late
	fmt.Fprintf(os.Stderr, "  ticks: %d, p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f ms\n", len(late), late.Median(), late.Percentile(0.99), late.Percentile(0.999), late.Percentile(1))
	return []bench.Row{
		{Name: "rate", Ours: slowest, Unit: "ticks/s", Goal: ">=20000"},
		{Name: "tick-p99", Ours: late.Percentile(0.99), Unit: "ms", Goal: "<=50"},
		{Name: "memory", Ours: memory / (1 << 20), Unit: "MiB", Goal: "<=600"},
		{Name: "gaps", Ours: float64(gaps) + lost, Unit: "ticks", Goal: "<=0"},
	}, nil
}

// subscriber reads envelopes of everything and counts what it did not get.
type subscriber struct {
	session      *wire.Session
	frames, gaps atomic.Int64
	timing       atomic.Bool
	late         bench.Series // ms from the venue's timestamp, which the simulator takes when it sends; of the first subscriber only
	last         map[string]uint64
}

func subscribe(addr string, times bool) (*subscriber, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s := &subscriber{last: map[string]uint64{}}
	session, err := wire.Dial(ctx, wire.DialConfig{Addr: addr, Borrow: true, OnFrame: func(f wire.Frame) { s.take(&f, times) }})
	if err != nil {
		return nil, err
	}
	s.session = session
	sub := wire.Make(wire.TypeSubscribe, wire.Subscribe{Mode: wire.ModeAll})
	sub.Topic = "*"
	_, err = session.Do(ctx, sub)
	return s, err
}

func (s *subscriber) take(f *wire.Frame, times bool) {
	switch f.Type {
	case wire.TypePublish:
		if last, ok := s.last[f.Topic]; ok && f.Seq != last+1 {
			s.gaps.Add(int64(f.Seq - last - 1))
		}
		s.last[f.Topic] = f.Seq
		s.frames.Add(1)
		if times && s.timing.Load() {
			s.time(f.Payload)
		}
	case wire.TypeLost:
		s.gaps.Add(1)
	}
}

func (s *subscriber) time(payload []byte) {
	_, from, _ := bytes.Cut(payload, []byte(`"timestamp":"`))
	at, _, _ := bytes.Cut(from, []byte{'"'})
	if sent, err := quote.ParseTime(string(at)); err == nil {
		s.late = append(s.late, float64(time.Since(sent.Std()).Microseconds())/1000)
	}
}

// stored ends the market, waits until all that core published is on disk twice, and returns how many ticks were given up.
func stored(w *world.World) (lost float64, err error) {
	w.End("external", os.Interrupt)
	if err := world.Await("all is stored twice", func() bool {
		once, err := w.Metric("core", "quotes_core_durable_one")
		waiting, fault := w.Metric("core", "quotes_core_queue_bytes")
		return err == nil && fault == nil && once+waiting == 0
	}); err != nil {
		return 0, err
	}
	return w.Metric("core", "quotes_core_lost_total")
}
