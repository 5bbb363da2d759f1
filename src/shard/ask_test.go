package shard

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Who asks for symbols that do not exist leaves nothing behind in memory.
func TestUnknownSymbolsAreNotRemembered(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	c.publish(5, sym)
	c.flush()
	ask := []quote.Symbol{sym}
	for i := 0; len(ask) < 500; i++ {
		s := quote.Symbol(fmt.Sprintf("ZZ%d", i))
		if owners := r.table.Owners(placement.Slot(string(s))); owners[0] == 0 || owners[1] == 0 {
			ask = append(ask, s)
		}
	}
	limit := 1
	require.Len(t, r.hist(0, wire.ReqHist{Symbols: ask, Order: wire.Desc, Limit: &limit}).Records, 1)
	state := r.up[0].state
	state.reach.mu.Lock()
	defer state.reach.mu.Unlock()
	require.LessOrEqual(t, len(state.reach.topics), 2)
}

// A question is bounded by what there is, however often it names that.
func TestKindsCountOnce(t *testing.T) {
	r := newRig(t)
	q, err := newState(0, r.table).parseQuery(wire.ReqHist{Kinds: slices.Repeat([]quote.Kind{quote.Trades, quote.Quotes}, 50_000), Symbols: r.symbolsOf(0, 1, 1)})
	require.NoError(t, err)
	require.LessOrEqual(t, cap(q.topics), 4)
	kinds, err := parseKinds(slices.Repeat([]quote.Kind{quote.Trades, quote.Quotes}, 3))
	require.NoError(t, err)
	require.Equal(t, []quote.Kind{quote.Quotes, quote.Trades}, kinds)
}

// A core that starts asks for the newest records while an older one still appends: it gets them.
func TestTheNewestRecordsAreToldWhileOthersCome(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	symbols := r.symbolsOf(0, 1, 40)
	c.publish(1, symbols...)
	c.flush()
	asked := make(chan error, 1)
	s := r.session(0)
	defer s.Close()
	go func() {
		for range 200 {
			told := 0
			err := s.Stream(within(t), wire.Make(wire.TypeHello, wire.Hello{Role: "publisher"}), func(f wire.Frame) error {
				var w wire.Welcome
				err := f.Decode(&w)
				told += len(w.Topics)
				return err
			})
			if err == nil && told != 2*len(symbols) {
				err = fmt.Errorf("%d topics told of %d", told, 2*len(symbols))
			}
			if err != nil {
				asked <- err
				return
			}
		}
		asked <- nil
	}()
	for {
		select {
		case err := <-asked:
			require.NoError(t, err)
			return
		default:
			c.publish(1, symbols...)
			c.flush()
		}
	}
}
