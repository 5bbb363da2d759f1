package cli

import (
	"fmt"

	"quotes/src/quote"
	"quotes/src/wire"
)

// frameRows returns how frames are shown: as lines of one endless table, or as they are on the wire.
func (a *app) frameRows() func(quote.Topic, wire.Frame) error {
	if !a.out.tabular() {
		return func(_ quote.Topic, f wire.Frame) error { return a.out.json(f.Append(nil)) }
	}
	const price = 10 // wide enough that columns seldom move
	t := a.out.newTable(column{name: "TIME", width: len(clock)}, column{name: "SYMBOL", width: 8},
		column{name: "PRICE", right: true, width: price},
		column{name: "BID", right: true, width: price}, column{name: "BID SIZE", right: true, wide: true},
		column{name: "ASK", right: true, width: price}, column{name: "ASK SIZE", right: true, wide: true},
		column{name: "QUALITY", width: 20, fixed: true}, column{name: "SEQ", right: true, width: 6},
		column{name: "PREV", right: true, wide: true}, column{name: "EPOCH", wide: true}, column{name: "NOTE", wide: true})
	return func(topic quote.Topic, f wire.Frame) error {
		row, err := a.tick(topic, f)
		if err != nil {
			a.note("unreadable frame of %s at %s: %v", topic, at(f.Point()), err)
			return nil
		}
		prev := cell{}
		if f.Prev != nil {
			prev.text = fmt.Sprint(*f.Prev)
		}
		t.add(append(row, number(f.Seq), prev, number(f.Epoch), cell{text: remark(f)})...)
		return t.flush()
	}
}

// clock is how a line of the endless table shows the time of day, in UTC.
const clock = "15:04:05.000"

// tick returns the cells from TIME to QUALITY.
func (a *app) tick(topic quote.Topic, f wire.Frame) ([]cell, error) {
	when := func(t quote.Time) cell {
		switch {
		case t.IsZero():
			return cell{}
		case a.out.wide():
			return text(t.String())
		}
		return text(t.Std().Format(clock))
	}
	switch topic.Kind() {
	case quote.Quotes:
		var q quote.Quote
		err := f.Decode(&q)
		return []cell{
			when(q.Timestamp), text(topic.Symbol()), text(q.Price.String()), text(q.Bid.String()), text(q.BidSize.String()),
			text(q.Ask.String()), text(q.AskSize.String()), qualityCell(q.Quality),
		}, err
	case quote.Trades:
		var r quote.Trade
		err := f.Decode(&r)
		what := "trade " + clean(string(r.Side)) + " " + r.Quantity.String()
		return []cell{when(r.Timestamp), text(topic.Symbol()), text(r.Price.String()), {}, {}, {}, {}, {text: what}}, err
	}
	var b struct {
		Breaker, From, To, Rule string
		At                      quote.Time
	}
	err := f.Decode(&b)
	what := cell{text: clean(fmt.Sprintf("%s: %s to %s", b.Breaker, b.From, b.To)), style: stateCell(b.To).style}
	if b.Rule != "" {
		what.text += " (" + clean(b.Rule) + ")"
	}
	return []cell{when(b.At), text(topic), {}, {}, {}, {}, {}, what}, err
}

// remark says what is special about a frame.
func remark(f wire.Frame) string {
	var s string
	switch {
	case f.Snapshot:
		s = "snapshot"
	case f.HeldMS != nil:
		s = "replayed"
	case f.Skipped > 0:
		s = fmt.Sprintf("skipped %d (%s)", f.Skipped, reason(f.Why))
	}
	if f.HeldMS != nil {
		s += fmt.Sprintf(", held %d ms", *f.HeldMS)
	}
	return s
}
