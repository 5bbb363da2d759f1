package core

import (
	"log/slog"
	"sync"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// ledger knows where each record is to be stored and how far it has got: a bounded queue for each shard, and for each
// topic what its owners have said is on disk.
type ledger struct {
	table *placement.Table
	limit int // bytes that may wait for one shard
	log   *slog.Logger
	met   *metrics

	mu     sync.Mutex
	homes  map[quote.Topic]*placed
	queues []*queue // by shard
}

// placed is a topic's storage. The ledger's lock guards it.
type placed struct {
	name   quote.Topic
	owners []int      // indices of the shards, fixed
	marks  []uint64   // by owner: up to here all is on its disk or lost
	seen   []uint64   // by owner: its mark when we last looked whether it is stuck
	any    quote.Seqs // on one disk at least, or lost
	lost   quote.Seqs // given up: no owner will ever have it
	next   uint64
}

// record is one record on its way to its owners.
type record struct {
	home    *placed
	seq     uint64
	payload []byte
	left    int  // owners that may still store it
	stored  bool // one has
}

// size is about what the record costs while it waits.
func (r *record) size() int { return len(r.payload) + 64 }

// queue is what waits for one shard, oldest first, and the losses it must still be told.
type queue struct {
	records []*record
	bytes   int
	lost    []*wire.LostRange
	runs    map[quote.Topic]*wire.LostRange // in lost, of each topic the last: it may still grow
	skipped bool                            // something was dropped that the shard was not told of by HELLO
	ready   chan struct{}
}

func newLedger(table *placement.Table, limit int, log *slog.Logger, met *metrics) *ledger {
	l := &ledger{table: table, limit: limit, log: log, met: met, homes: map[quote.Topic]*placed{}}
	for range table.Shards() {
		l.queues = append(l.queues, &queue{runs: map[quote.Topic]*wire.LostRange{}, ready: make(chan struct{}, 1)})
	}
	return l
}

// home returns where the topic is stored; nil for topics that shards do not keep.
func (l *ledger) home(name quote.Topic) *placed {
	if name.Symbol() == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.homes[name]
	if h == nil {
		owners := l.table.Owners(placement.Slot(string(name.Symbol())))
		h = &placed{name: name, owners: owners, marks: make([]uint64, len(owners)), seen: make([]uint64, len(owners)), next: 1}
		l.homes[name] = h
	}
	return h
}

// add queues a record for each owner. What a full queue pushes out is that shard's to get from its twin; where no owner
// is left to take it, it is lost.
func (l *ledger) add(h *placed, seq uint64, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.next = seq + 1
	r := &record{home: h, seq: seq, payload: payload, left: len(h.owners)}
	for _, shard := range h.owners {
		q := l.queues[shard]
		q.records = append(q.records, r)
		q.bytes += r.size()
		for q.bytes > l.limit {
			q.skipped = true
			l.giveUp(q.pop())
		}
		q.wake()
	}
}

// giveUp counts that one owner will not get the record from us. The lock is held.
func (l *ledger) giveUp(r *record) {
	l.met.dropped.Inc()
	if r.left--; r.left > 0 || r.stored {
		return
	}
	h := r.home
	if len(h.lost.Spans()) == 0 {
		l.log.Warn("records lost: both owners away and the buffer full", "topic", h.name, "first_seq", r.seq)
	}
	h.lost.Add(r.seq, r.seq)
	h.any.Add(r.seq, r.seq)
	l.met.lost.Inc()
	for _, shard := range h.owners {
		q := l.queues[shard]
		q.tell(wire.LostRange{Topic: h.name, First: r.seq, Last: r.seq})
		q.wake()
	}
}

// tell remembers a loss that the shard must be told; runs of one topic are told as one range.
func (q *queue) tell(r wire.LostRange) {
	if run := q.runs[r.Topic]; run != nil && run.Last+1 == r.First {
		run.Last = r.Last
		return
	}
	q.runs[r.Topic] = &r
	q.lost = append(q.lost, &r)
}

func (q *queue) pop() *record {
	r := q.records[0]
	q.records[0] = nil
	q.records = q.records[1:]
	q.bytes -= r.size()
	return r
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Bounds of one APPEND.
const (
	batchRecords = 256
	batchBytes   = 256 << 10
	batchLost    = 256
)

// batch is one APPEND: it is taken from a queue and either stored or put back.
type batch struct {
	records []*record
	lost    []wire.LostRange
}

// take returns the shard's next batch, or nil where nothing waits.
func (l *ledger) take(shard int) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[shard]
	if len(q.records) == 0 && len(q.lost) == 0 {
		return nil
	}
	b := &batch{}
	for size := 0; len(q.records) > 0 && len(b.records) < batchRecords && size < batchBytes; {
		r := q.pop()
		size += r.size()
		b.records = append(b.records, r)
	}
	n := min(len(q.lost), batchLost)
	for _, r := range q.lost[:n] {
		b.lost = append(b.lost, *r)
		if q.runs[r.Topic] == r {
			delete(q.runs, r.Topic) // what is told does not grow
		}
	}
	clear(q.lost[:n])
	q.lost = q.lost[n:]
	return b
}

// putBack returns batches that were not acknowledged, oldest first, to the front of the shard's queue.
func (l *ledger) putBack(shard int, unsent []*batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[shard]
	var records []*record
	var lost []*wire.LostRange
	for _, b := range unsent {
		for _, r := range b.records {
			records = append(records, r)
			q.bytes += r.size()
		}
		for _, r := range b.lost {
			lost = append(lost, &r)
		}
	}
	q.records = append(records, q.records...)
	q.lost = append(lost, q.lost...)
	for q.bytes > l.limit {
		q.skipped = true
		l.giveUp(q.pop())
	}
	if len(q.records) > 0 || len(q.lost) > 0 {
		q.wake() // whoever took these had the token of all that waits
	}
}

// skipped reports whether something was dropped for the shard since its last HELLO: until it is told where its topics
// stand it can't know that it lacks that.
func (l *ledger) skipped(shard int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queues[shard].skipped
}

// told notes that a HELLO will be made of what is known from now on.
func (l *ledger) told(shard int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues[shard].skipped = false
}

// stored takes a shard's acknowledgement of a batch.
func (l *ledger) stored(shard int, b *batch, positions map[quote.Topic]quote.Point, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range b.records {
		r.left--
		r.stored = true
		r.home.any.Add(r.seq, r.seq)
	}
	for name, p := range positions {
		if h := l.homes[name]; h != nil && p.Epoch == epoch {
			h.mark(shard, p.Seq)
		}
	}
}

// mark raises an owner's mark. Marks above what was ever given out are a shard's mistake and are cut.
func (h *placed) mark(shard int, seq uint64) {
	for i, owner := range h.owners {
		if owner == shard {
			h.marks[i] = max(h.marks[i], min(seq, h.next-1))
		}
	}
}

// durable tells for each topic how far it is on disk.
func (l *ledger) durable(epoch uint64) map[quote.Topic]wire.Durable {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[quote.Topic]wire.Durable, len(l.homes))
	for name, h := range l.homes {
		d := wire.Durable{Epoch: epoch, Both: h.both()}
		d.One = max(h.any.Through(), d.Both)
		for _, s := range h.lost.Spans() {
			d.Lost = append(d.Lost, wire.LostRange{Topic: name, First: s.First, Last: s.Last})
		}
		out[name] = d
	}
	return out
}

// both returns up to where every owner has the topic.
func (h *placed) both() uint64 {
	both := h.next - 1
	for _, m := range h.marks {
		both = min(both, m)
	}
	return both
}

// waiting counts the records that are on no disk, as far as is known, and not lost.
func (l *ledger) waiting() (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.homes {
		if first := h.both() + 1; first < h.next {
			for _, s := range h.any.Missing(first, h.next-1) {
				n += s.Len()
			}
		}
	}
	return n
}

// settled reports whether every record is on one disk at least, or lost and told as that.
func (l *ledger) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queues {
		if len(q.lost) > 0 {
			return false
		}
	}
	for _, h := range l.homes {
		if h.any.Through() < h.next-1 && h.both() < h.next-1 {
			return false
		}
	}
	return true
}
