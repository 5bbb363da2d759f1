package aggregator

import (
	"context"
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

// histories is what the shards answered to one question.
type histories struct {
	rows  []scatter.Row[wire.RespHist]
	slots []int // asked for, sorted
	by    map[int][]quote.Symbol
	table *placement.Table
	asked []int // shard of each row
}

// ask builds the shards' targets for some symbols, or for everything where there are none: each shard is asked for the
// symbols that it owns, so that both owners of a slot answer for it.
func (a *Aggregator) ask(symbols []quote.Symbol, req wire.ReqHist) (*histories, []scatter.Target[wire.RespHist]) {
	h := &histories{by: map[int][]quote.Symbol{}, table: a.table}
	mine := make([][]quote.Symbol, len(a.shards))
	for _, s := range symbols {
		slot := placement.Slot(string(s))
		h.by[slot] = append(h.by[slot], s)
		for _, owner := range a.table.Owners(slot) {
			mine[owner] = append(mine[owner], s)
		}
	}
	for slot := range placement.Slots {
		if len(symbols) == 0 || h.by[slot] != nil {
			h.slots = append(h.slots, slot)
		}
	}
	var targets []scatter.Target[wire.RespHist]
	for i, p := range a.shards {
		if len(symbols) > 0 && len(mine[i]) == 0 {
			continue
		}
		r := req
		r.Symbols = mine[i]
		h.asked = append(h.asked, i)
		targets = append(targets, scatter.Target[wire.RespHist]{
			Name: p.name, Breaker: p.brk, Fault: fault,
			Call: func(ctx context.Context) (wire.RespHist, error) { return p.history(ctx, r) },
		})
	}
	return h, targets
}

// coverage returns the share of the slots whose history is complete, and the others.
func (h *histories) coverage() (float64, []wire.Missing) {
	var missing []wire.Missing
	for _, slot := range h.slots {
		if !h.covered(slot) {
			missing = append(missing, wire.Missing{Slot: slot, Symbols: h.by[slot]})
		}
	}
	if len(h.slots) == 0 {
		return 1, nil
	}
	return float64(len(h.slots)-len(missing)) / float64(len(h.slots)), missing
}

// covered reports whether an owner in sync has answered for the slot, or all of its owners have.
func (h *histories) covered(slot int) bool {
	owners := h.table.Owners(slot)
	answered := 0
	for i, row := range h.rows {
		if row.State != scatter.OK || !slices.Contains(owners, h.asked[i]) {
			continue
		}
		answered++
		if row.Answer.InSync[slot] {
			return true
		}
	}
	return answered == len(owners)
}

// lacks reports whether a slot that the shard owns is not covered: then it is worth asking the shard once more.
func (h *histories) lacks(shard int) bool {
	for _, slot := range h.slots {
		if h.table.Owns(shard, slot) && !h.covered(slot) {
			return true
		}
	}
	return false
}

// secondChance bounds how long the second asking may take.
const secondChance = 100 * time.Millisecond

// again asks once more those that did not answer, where the coverage depends on them: behind an open breaker, or between
// two dials, a shard may have come back this very moment. It goes past the breaker, whose probe will see the same.
func again[R any](ctx context.Context, rows []scatter.Row[R], targets []scatter.Target[R], needed func(int) bool, hurry func(int)) {
	ctx, cancel := context.WithTimeout(ctx, secondChance)
	defer cancel()
	var retry []scatter.Target[R]
	var at []int
	for i, row := range rows {
		if row.State != scatter.OK && (row.State == scatter.Skipped || reason(row.Err) == notConnected) && needed(i) {
			hurry(i)
			retry = append(retry, scatter.Target[R]{Name: targets[i].Name, Call: targets[i].Call})
			at = append(at, i)
		}
	}
	for k, row := range scatter.Gather(ctx, retry) {
		if row.State == scatter.OK {
			rows[at[k]] = row
		}
	}
}

// hurry makes the shard with a row dial now.
func (a *Aggregator) hurry(asked []int) func(int) {
	return func(i int) { a.shards[asked[i]].client.Hurry() }
}

// sources writes the shards' rows of a report: ok where a shard is in sync for all that it was asked, stale where not.
func (h *histories) sources() (out []wire.Source, errs []string) {
	for _, row := range h.rows {
		s := source(row.Name, row.State, row.Err, row.Took)
		if row.State == scatter.OK {
			for _, in := range row.Answer.InSync {
				if !in {
					s.State, s.Reason = wire.SourceStale, "not_in_sync"
				}
			}
		} else {
			errs = append(errs, row.Name+": "+row.Err.Error())
		}
		out = append(out, s)
	}
	return out, errs
}

func source(name string, state scatter.State, err error, took time.Duration) wire.Source {
	s := wire.Source{Name: name, State: [...]string{wire.SourceOK, wire.SourceFailed, wire.SourceSkipped}[state], Reason: reason(err)}
	s.MS = float64(took.Microseconds()) / 1000
	return s
}
