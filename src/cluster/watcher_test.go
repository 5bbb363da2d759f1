package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// watcher is a subscriber to everything that proves, from the wire alone, that it missed nothing untold. It reconnects by
// itself and resumes from its positions.
type watcher struct {
	t      *testing.T
	client *wire.Client

	mu      sync.Mutex
	last    map[quote.Topic]quote.Point
	seen    map[quote.Topic][]wire.Record
	states  map[quote.Symbol][]quote.Quality // each change of quality, in order
	lost    []wire.Lost
	faults  []string
	sources []string
	ups     int
}

func watch(t *testing.T, broker string) *watcher {
	t.Helper()
	w := &watcher{t: t, last: map[quote.Topic]quote.Point{}, seen: map[quote.Topic][]wire.Record{}, states: map[quote.Symbol][]quote.Quality{}}
	w.client = wire.NewClient(wire.ClientConfig{Dial: wire.DialConfig{Addr: broker, OnFrame: w.frame}, OnUp: w.subscribe, MaxBackoff: 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.client.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		w.check()
	})
	return w
}

func (w *watcher) subscribe(ctx context.Context, s *wire.Session) error {
	w.mu.Lock()
	req := wire.Subscribe{From: map[quote.Topic]quote.Point{}}
	maps.Copy(req.From, w.last)
	w.ups++
	w.mu.Unlock()
	f := wire.Make(wire.TypeSubscribe, req)
	f.Topic = "*"
	_, err := s.Do(ctx, f)
	return err
}

func (w *watcher) frame(f wire.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f.Type {
	case wire.TypePublish:
		w.publish(&f)
	case wire.TypeLost:
		var l wire.Lost
		if err := f.Decode(&l); err != nil {
			w.fault("LOST: %v", err)
			return
		}
		if last, ok := w.last[l.Topic]; ok && l.After.Compare(last) > 0 {
			w.fault("LOST begins behind a hole: had %v, told %+v", last, l)
		}
		w.lost = append(w.lost, l)
		w.last[l.Topic] = quote.Point{Epoch: l.Before.Epoch, Seq: l.Before.Seq - 1}
	case wire.TypeHeartbeat:
		var h wire.Heartbeat
		if f.Decode(&h) == nil && (len(w.sources) == 0 || w.sources[len(w.sources)-1] != h.Source) {
			w.sources = append(w.sources, h.Source)
		}
	case wire.TypeError:
		w.fault("%v", wire.ErrorOf(f))
	}
}

func (w *watcher) publish(f *wire.Frame) {
	t, p := quote.Topic(f.Topic), f.Point()
	last, known := w.last[t]
	switch {
	case f.Snapshot:
		if known && p.Compare(last) < 0 {
			w.fault("snapshot of %s goes back from %v to %v", t, last, p)
		}
	case f.Prev == nil:
		w.fault("%s %v without prev", t, p)
	case !known:
	case p.Epoch == last.Epoch && (p.Seq != last.Seq+1+f.Skipped || *f.Prev != last.Seq):
		w.fault("%s: %v behind %v, prev %d, skipped %d", t, p, last, *f.Prev, f.Skipped)
	case p.Epoch > last.Epoch && (f.PrevEpoch != last.Epoch || *f.Prev != last.Seq || p.Seq != 1):
		w.fault("%s: %v behind %v, prev %d of epoch %d", t, p, last, *f.Prev, f.PrevEpoch)
	case p.Epoch < last.Epoch:
		w.fault("%s: epoch goes back from %v to %v", t, last, p)
	}
	w.last[t] = p
	w.seen[t] = append(w.seen[t], wire.Record{Topic: t, Epoch: p.Epoch, Seq: p.Seq, Payload: f.Payload})
	if t.Kind() != quote.Quotes {
		return
	}
	var q quote.Quote
	if err := f.Decode(&q); err != nil {
		w.fault("%s %v: %v", t, p, err)
		return
	}
	if s := w.states[q.Symbol]; len(s) == 0 || s[len(s)-1] != q.Quality {
		w.states[q.Symbol] = append(s, q.Quality)
	}
}

func (w *watcher) fault(format string, args ...any) {
	if len(w.faults) < 10 {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
}

// check fails the test where anything was wrong.
func (w *watcher) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Empty(w.t, w.faults)
}

// with reads under the lock.
func with[T any](w *watcher, read func() T) T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return read()
}

// records counts what has come of all topics.
func (w *watcher) records() int {
	return with(w, func() (n int) {
		for _, list := range w.seen {
			n += len(list)
		}
		return n
	})
}

// quality returns the newest quality of a symbol.
func (w *watcher) quality(s quote.Symbol) quote.Quality {
	return with(w, func() quote.Quality {
		if list := w.states[s]; len(list) > 0 {
			return list[len(list)-1]
		}
		return quote.Quality{}
	})
}
