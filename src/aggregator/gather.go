package aggregator

import (
	"context"
	"errors"
	"slices"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// margin is kept of a budget for putting the answer together and sending it.
func margin(budget time.Duration) time.Duration { return min(budget/10, 50*time.Millisecond) }

// within returns a context that ends a margin before the request's budget does.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-margin(time.Until(deadline))))
}

// part is what one call to a shard brought: an answer each for the keys that it was asked for, or one for all of them.
type part struct {
	by  map[int]*hist
	all *hist
}

func (p *part) of(key int) *hist {
	if p.all != nil {
		return p.all
	}
	return p.by[key]
}

// found is what the shards answered to one question about some slots.
type found struct {
	scatter.Result[part]
	slots []int            // of each key
	names [][]quote.Symbol // of each key; empty where everything was asked for
}

// ask gathers the slots' histories from the fewest shards in sync, or from all owners. call asks one shard for some keys.
func (a *Aggregator) ask(ctx context.Context, slots []int, names [][]quote.Symbol, call func(ctx context.Context, p *peer, keys []int) (part, error)) *found {
	f := &found{slots: slots, names: names}
	keys := make([][]int, len(slots))
	for i, slot := range slots {
		keys[i] = a.table.Owners(slot)
	}
	f.Result = scatter.Gather(ctx, a.engine, scatter.Query[part]{
		Keys: keys, Fault: fault,
		Call: func(ctx context.Context, node int, keys []int) (part, error) { return call(ctx, a.shards[node], keys) },
		Complete: func(p part, key int) bool {
			h := p.of(key)
			return h != nil && h.inSync[slots[key]]
		},
		Answered: func(p part, key int) bool { return p.by[key] != nil },
		Again: func(node int, err error) bool {
			if r := reason(err); r != breakerOpen && r != notConnected {
				return false
			}
			a.shards[node].client.Hurry() // it may have come back this very moment: it dials now
			return true
		},
	})
	return f
}

// bySlot groups symbols by slot, in the order in which they were named; without symbols all slots are meant.
func bySlot(symbols []quote.Symbol) (slots []int, names [][]quote.Symbol) {
	if len(symbols) == 0 {
		for slot := range placement.Slots {
			slots = append(slots, slot)
		}
		return slots, make([][]quote.Symbol, placement.Slots)
	}
	at := map[int]int{}
	for _, s := range symbols {
		slot := placement.Slot(string(s))
		i, known := at[slot]
		if !known {
			i = len(slots)
			at[slot] = i
			slots, names = append(slots, slot), append(names, nil)
		}
		names[i] = append(names[i], s)
	}
	return slots, names
}

// answers returns all that came.
func (f *found) answers() (out []*hist) {
	for i := range f.Rows {
		for _, a := range f.Rows[i].Answers {
			out = append(out, a.Value.all)
		}
	}
	return out
}

// of returns what came for one key.
func (f *found) of(key int) (out []*hist) {
	for i := range f.Rows {
		for _, a := range f.Rows[i].Answers {
			if h := a.Value.of(key); h != nil {
				out = append(out, h)
			}
		}
	}
	return out
}

// missing lists the slots whose history is not complete.
func (f *found) missing() (out []wire.Missing) {
	for i, covered := range f.Covered {
		if !covered {
			out = append(out, wire.Missing{Slot: f.slots[i], Symbols: f.names[i]})
		}
	}
	return out
}

// refused returns the error that is the request's own fault, if there is one.
func (f *found) refused() error {
	for i := range f.Rows {
		if row := &f.Rows[i]; row.State == scatter.Failed && !fault(row.Err) {
			return row.Err
		}
	}
	return nil
}

// sources writes the shards' rows for one key. A shard that answered it is ok when it is in sync for it, stale where not,
// whatever became of other keys.
func (f *found) sources(key int) (out []wire.Source, errs []string) {
	for i := range f.Rows {
		row := &f.Rows[i]
		if !slices.Contains(row.Asked, key) {
			continue
		}
		state, err := f.stateOf(row, key)
		s := source(row.Name, state, err, row.Took)
		s.Hedged = row.Hedged
		switch {
		case state == scatter.Stale:
			s.Reason = "not_in_sync"
		case state != scatter.OK && !errors.Is(err, scatter.ErrOutrun):
			errs = append(errs, row.Name+": "+err.Error())
		}
		out = append(out, s)
	}
	return out, errs
}

// stateOf is what became of a node for one key of those that it was asked for.
func (f *found) stateOf(row *scatter.Row[part], key int) (scatter.State, error) {
	for i := range row.Answers {
		h := row.Answers[i].Value.of(key)
		switch {
		case h == nil:
		case h.inSync[f.slots[key]]:
			return scatter.OK, nil
		default:
			return scatter.Stale, nil
		}
	}
	if row.State == scatter.OK || row.State == scatter.Stale { // for others
		return scatter.Skipped, scatter.ErrOutrun
	}
	return row.State, row.Err
}

func source(name string, state scatter.State, err error, took time.Duration) wire.Source {
	s := wire.Source{Name: name, State: [...]string{wire.SourceOK, wire.SourceStale, wire.SourceFailed, wire.SourceSkipped}[state], Reason: reason(err)}
	s.MS = float64(took.Microseconds()) / 1000
	return s
}
