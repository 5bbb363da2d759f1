package core

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// known is what the broker and the shards answered to the start's question.
type known struct {
	epoch   uint64
	records map[quote.Topic]wire.Record
}

// ask asks all addresses at once for the highest epoch and the newest records they know. Who does not answer in time is
// logged and left out: should it know a newer epoch, it will refuse ours.
func ask(ctx context.Context, addrs []string, wait time.Duration, log *slog.Logger) known {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var mu sync.Mutex
	out := known{records: map[quote.Topic]wire.Record{}}
	var wg sync.WaitGroup
	for _, addr := range addrs {
		wg.Go(func() {
			w, err := askOne(ctx, addr)
			if err != nil {
				log.Warn("no answer about epochs", "addr", addr, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out.epoch = max(out.epoch, w.HighestEpoch)
			newestByTopic(out.records, w.Topics)
		})
	}
	wg.Wait()
	return out
}

// askOne keeps dialling until the context ends: at a start everything starts at once.
func askOne(ctx context.Context, addr string) (w wire.Welcome, err error) {
	for {
		var s *wire.Session
		if s, err = wire.Dial(ctx, wire.DialConfig{Addr: addr}); err == nil {
			w, err = greet(ctx, s, 0, "", nil)
			s.Close()
		}
		if err == nil || !pause(ctx, minRetry) {
			return w, err
		}
	}
}

// choose returns the epoch of this start: above all known ones, and the wall clock's milliseconds where that is more.
func choose(now time.Time, highest uint64) uint64 {
	return max(uint64(max(now.UnixMilli(), 0)), highest+1)
}

// load puts the newest records of older epochs into the table, topics in order.
func (k *known) load(b *book, now time.Time, log *slog.Logger) {
	names := make([]quote.Topic, 0, len(k.records))
	for t := range k.records {
		names = append(names, t)
	}
	slices.Sort(names)
	for _, t := range names {
		if err := b.load(k.records[t], now); err != nil {
			log.Warn("stored record not understood", "topic", t, "err", err)
		}
	}
	b.out.prime(b.hello(func() {}))
	b.loaded()
}

// pause waits, and reports whether the context is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
