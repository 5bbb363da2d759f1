package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/wire"
)

// Times of the repair.
const (
	idleRounds = 10               // RepairEvery between full comparisons that don't count yet, or while core is away
	keepAlive  = 10 * time.Second // between questions to a twin that has nothing for us
	askTimeout = 10 * time.Second // one request
	maxGapWait = 5 * time.Second  // between questions about gaps that the twin can't fill
)

// mender copies from one twin what we lack. It works in rounds: every RepairEvery while a slot shared with the twin is
// not in sync, and when it is kicked.
type mender struct {
	shard  *Shard
	twin   int // its index in the table
	peer   placement.Shard
	log    *slog.Logger
	client *wire.Client
	kick   <-chan struct{}
	pace   pace

	dec     chunk.Decoder // of the twin's chunks
	records []chunk.Record
	text    []byte

	asked    time.Time     // when the twin last answered
	compared time.Time     // when all was last compared
	failure  string        // of the last round: it is logged once
	gapWait  time.Duration // grows while the twin has nothing for our gaps
	nextGaps time.Time     // when to ask it again
}

func newMender(s *Shard, twin int) *mender {
	m := &mender{shard: s, twin: twin, peer: s.table.Shards()[twin], kick: s.state.kicks[twin], pace: pace{rate: s.cfg.RepairMB << 20}}
	m.log = s.log.With("peer", m.peer.Name)
	m.client = wire.NewClient(wire.ClientConfig{
		Dial: wire.DialConfig{Addr: m.peer.Addr, Dialer: s.cfg.dial}, Name: m.peer.Name, Log: s.log,
	})
	return m
}

// run mends until ctx ends.
func (m *mender) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = m.client.Run(ctx) })
	wg.Go(func() {
		c := &scrub{m: m, pace: pace{rate: m.shard.cfg.ScrubMB << 20}, known: map[blockSum]string{}}
		c.run(ctx)
	})
	tick := time.NewTicker(m.shard.cfg.RepairEvery)
	defer tick.Stop()
	for {
		if !m.shard.state.idle(m.twin, time.Now()) || time.Since(m.asked) > keepAlive {
			m.report(ctx, m.round(ctx))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.kick:
			m.gapWait, m.nextGaps = 0, time.Time{}
		}
	}
}

// report logs and counts a failed round; a twin that is down is reported by its connection.
func (m *mender) report(ctx context.Context, err error) {
	text := ""
	if err != nil && ctx.Err() == nil && !errors.Is(err, wire.ErrDown) && !errors.Is(err, wire.ErrClosed) {
		text = err.Error()
		m.shard.met.failures.WithLabelValues(m.peer.Name).Inc()
		if text != m.failure {
			m.log.Warn("repair failed", "err", err)
		}
	}
	m.failure = text
}

// round asks the twin where it stands and copies what we lack.
func (m *mender) round(ctx context.Context) error {
	s, err := m.client.Session(ctx)
	if err != nil {
		return err
	}
	// The epoch first: once the twin knows it, no core of an older one can add to what it then says it has.
	epoch, err := m.askEpoch(ctx, s)
	if err != nil {
		return err
	}
	m.asked = time.Now()
	overdue := m.asked.Sub(m.compared) >= idleRounds*m.shard.cfg.RepairEvery
	do := m.shard.state.todo(m.twin, epoch, overdue, m.asked)
	if do.full {
		if _, err := m.mend(ctx, s, nil, do.stamp); err != nil {
			return err
		}
		m.compared = time.Now()
		m.shard.state.comparedWith(m.twin, do.stamp)
		return nil
	}
	if m.asked.Before(m.nextGaps) {
		return nil
	}
	return m.fillGaps(ctx, s, do.symbols)
}

// fillGaps copies what is missing of the current epoch.
func (m *mender) fillGaps(ctx context.Context, s *wire.Session, symbols []quote.Symbol) error {
	filled := 0
	for chunk := range slices.Chunk(symbols, askSymbols) {
		n, err := m.mend(ctx, s, chunk, 0)
		if err != nil {
			return err
		}
		filled += n
	}
	if len(symbols) == 0 || filled > 0 {
		m.gapWait = 0
		return nil
	}
	m.gapWait = min(max(2*m.gapWait, m.shard.cfg.RepairEvery), maxGapWait)
	m.nextGaps = time.Now().Add(m.gapWait)
	return nil
}

// askEpoch asks for the twin's newest epoch, and makes sure that it is the one we think it is.
func (m *mender) askEpoch(ctx context.Context, s *wire.Session) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	reply, err := s.Do(ctx, wire.Frame{Type: wire.TypeReqStatus})
	if err != nil {
		return 0, err
	}
	var st wire.Status
	if err := reply.Decode(&st); err != nil {
		return 0, err
	}
	if st.Process != m.peer.Name {
		return 0, fmt.Errorf("%s is %q, not %s: check --shards", m.peer.Addr, st.Process, m.peer.Name)
	}
	return st.Epoch, nil
}

// pace bounds what is copied a second.
type pace struct {
	rate int // bytes a second
	next time.Time
}

// wait returns when n more bytes are within the rate.
func (p *pace) wait(ctx context.Context, n int) {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	t := time.NewTimer(p.next.Sub(now))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
