package shard

import (
	"bytes"
	"fmt"

	"quotes/src/quote"
	"quotes/src/shard/engine"
)

// draft gathers what one commit will change: new rows go to the engine's batch at once, holdings are changed as copies.
type draft struct {
	c     *committer
	batch engine.Batch
	known *reader // what is stored already; opened when first wanted

	holdings map[place]*holding
	order    []place
	fresh    []row
	forgets  []quote.Topic
	sent     map[quote.Topic]uint64
	fence    fence

	key, value []byte // of the row in work

	appended, repaired int
	restored           int
	lost               uint64
}

// place is one topic in one epoch.
type place struct {
	topic quote.Topic
	epoch uint64
}

func newDraft(c *committer) *draft {
	return &draft{c: c, holdings: map[place]*holding{}, sent: map[quote.Topic]uint64{}, fence: c.state.fenceNow()}
}

func (d *draft) close() {
	if d.known != nil {
		_ = d.known.view.Close()
	}
}

// at returns the copy of a holding that this commit changes.
func (d *draft) at(t quote.Topic, epoch uint64) *holding {
	p := place{t, epoch}
	h := d.holdings[p]
	if h == nil {
		h = d.c.state.holding(t, epoch).clone()
		d.holdings[p] = h
		d.order = append(d.order, p)
	}
	return h
}

// add takes one write into the commit. An error means that storage can't be read or written.
func (d *draft) add(w *write) error {
	for i := range w.rows {
		r := &w.rows[i]
		if w.core != nil {
			d.sent[r.topic] = max(d.sent[r.topic], r.point.Seq)
		}
		if r.point.Compare(d.c.state.floor(r.topic)) < 0 {
			continue // retention has let it go
		}
		h := d.at(r.topic, r.point.Epoch)
		if h.held.Has(r.point.Seq) {
			if err := d.compare(r); err != nil {
				return err
			}
			continue
		}
		if err := d.store(r); err != nil {
			return err
		}
		h.hold(r.point.Seq)
		if w.core != nil {
			d.appended++
		} else {
			d.repaired++
		}
	}
	for _, l := range w.lost {
		if (quote.Point{Epoch: l.Epoch, Seq: l.Last}).Compare(d.c.state.floor(l.Topic)) < 0 {
			continue
		}
		h := d.at(l.Topic, l.Epoch)
		for _, p := range h.lost.Missing(l.First, l.Last) {
			d.lost += p.Len()
		}
		h.lose(l.First, l.Last)
	}
	return nil
}

// store sets a new record and its place in time.
func (d *draft) store(r *row) error {
	d.key, d.value = r.appendKey(d.key[:0]), r.appendValue(d.value[:0])
	if err := d.batch.Set(d.key, d.value); err != nil {
		return err
	}
	d.fresh = append(d.fresh, *r)
	d.fence.epoch = max(d.fence.epoch, r.point.Epoch)
	d.key = r.appendTimeKey(d.key[:0])
	return d.batch.Set(d.key, nil)
}

// compare looks at a record whose position is taken: the same again is nothing, another one is counted and logged, and
// the first is kept.
func (d *draft) compare(r *row) error {
	have, found, err := d.stored(r)
	if err != nil {
		return err
	}
	if !found { // the disk has lost what we believed to hold
		d.restored++
		d.forgets = append(d.forgets, r.topic) // memory may have another record there
		return d.store(r)
	}
	if !bytes.Equal(have.payload, r.payload) {
		d.c.met.conflicts.Inc()
		d.c.log.Error("conflicting record refused", "topic", r.topic, "epoch", r.point.Epoch, "seq", r.point.Seq,
			"have", fmt.Sprintf("%.200s", have.payload), "got", fmt.Sprintf("%.200s", r.payload))
	}
	return nil
}

// stored returns the record at a row's position, of this commit or an earlier one.
func (d *draft) stored(r *row) (row, bool, error) {
	for i := len(d.fresh) - 1; i >= 0; i-- {
		if f := &d.fresh[i]; f.point == r.point && f.topic == r.topic {
			return *f, true, nil
		}
	}
	return d.reader().lookup(r.topic, r.point)
}

// reader reads what was stored before this commit.
func (d *draft) reader() *reader {
	if d.known == nil {
		d.known = newReader(d.c.engine.View(), d.c.size)
	}
	return d.known
}

// finish sets what the rows change: the spans of their topics and, where a twin's records are newer, the fence.
func (d *draft) finish() error {
	for _, p := range d.order {
		if err := d.batch.Set(keyOfSpans(p.topic, p.epoch), d.holdings[p].value()); err != nil {
			return err
		}
	}
	if d.fence.epoch > d.c.state.fenceNow().epoch {
		d.fence.instance = ""
		return d.batch.Set(keyOfMeta(metaFence), d.fence.value())
	}
	return nil
}

// change tells the state what is on disk now.
func (d *draft) change() change {
	out := change{rows: d.fresh, forgets: d.forgets, sent: d.sent, fence: d.fence}
	for _, p := range d.order {
		out.holdings = append(out.holdings, named{p.topic, d.holdings[p]})
	}
	return out
}
