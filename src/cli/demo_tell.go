package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// teller tells what happens in a demo, a line each, with the time since its start.
type teller struct {
	app   *app
	began time.Time
	seen  chan quote.State // each change of PETR4's state, in order

	mu    sync.Mutex // one line at a time; guards last too
	state quote.State
}

func newTeller(a *app) *teller {
	return &teller{app: a, began: time.Now(), seen: make(chan quote.State, 256)}
}

// say tells one thing: as a line for people, or as JSON where -o asks for it. An output that is gone ends the follower elsewhere.
func (t *teller) say(event, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(event, fmt.Sprintf(format, args...))
}

func (t *teller) tell(event, text string) {
	since := time.Since(t.began)
	if t.app.out.tabular() {
		_ = t.app.out.linef("%6.1f s  %-8s %s", since.Seconds(), event, clean(text))
		return
	}
	line, err := json.Marshal(struct {
		MS    int64  `json:"ms"`
		Event string `json:"event"`
		Text  string `json:"text"`
	}{since.Milliseconds(), event, text})
	if err == nil {
		_ = t.app.out.json(line)
	}
}

// frame tells of what the broker sent: a change of the price's state, a transition of the exchange's breaker.
func (t *teller) frame(topic quote.Topic, f wire.Frame) error {
	if topic.Kind() == quote.Status {
		var b struct{ Breaker, From, To, Rule string }
		if f.Decode(&b) == nil && b.Breaker == "exchange" {
			t.say("breaker", "%s → %s (%s)", b.From, b.To, b.Rule)
		}
		return nil
	}
	var q quote.Quote
	if err := f.Decode(&q); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.Quality.State == t.state {
		return nil
	}
	t.state = q.Quality.State
	t.tell("price", fmt.Sprintf("%s %s: %s", q.Symbol, q.Price, qualityCell(q.Quality).text))
	select {
	case t.seen <- t.state:
	default: // nobody waits for that many changes
	}
	return nil
}

// await waits until the states were seen, in this order; others may come between.
func (t *teller) await(ctx context.Context, longest time.Duration, states ...quote.State) error {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("the price was not %s within %v", states[0], longest))
	defer cancel()
	for _, want := range states {
		for got := quote.State(""); got != want; {
			select {
			case got = <-t.seen:
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w", want, context.Cause(ctx))
			}
		}
	}
	return nil
}
