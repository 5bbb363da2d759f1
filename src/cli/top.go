package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/quote"
	"quotes/src/wire"
)

// topFlags are the top command's own.
type topFlags struct {
	every time.Duration
	rows  int
	count uint64
}

func (a *app) topCommand() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "The busiest topics and the subscribers that lag most, again and again",
		Long: `The busiest topics and the subscribers that lag most, as the broker sees them, each second until Ctrl-C. On a terminal a
table that stays in its place, elsewhere a line a second. A question that gets no answer is told on stderr, and the next is asked.`,
		Example: "  quotectl top\n  quotectl top --interval 5s --rows 20\n  quotectl top -o ndjson --count 60 > broker.ndjson",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.top(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.DurationVar(&f.every, "interval", time.Second, "between two looks, 100ms to 1h")
	fs.IntVar(&f.rows, "rows", 10, "topics, and subscribers, that are shown, 1 to 1000")
	fs.Uint64Var(&f.count, "count", 0, "end after so many looks; never where 0")
	return cmd
}

// look is what happened at the broker between two answers.
type look struct {
	At          quote.Time       `json:"at"`
	Source      string           `json:"source"` // whether core is there: up or down
	Frames      float64          `json:"frames_per_s"`
	Topics      int              `json:"topics"`
	LogBytes    int              `json:"log_bytes"`
	Subscribers int              `json:"subscribers"`
	MaxLag      uint64           `json:"max_lag_bytes"`
	Skipped     uint64           `json:"skipped"` // since those who are there came
	Lost        uint64           `json:"lost"`    // likewise
	Busiest     []topicRate      `json:"busiest"`
	Lagging     []subscriberLook `json:"lagging"`
}

type topicRate struct {
	Topic  quote.Topic `json:"topic"`
	Frames float64     `json:"frames_per_s"`
	Next   uint64      `json:"next"`
	Bytes  int         `json:"log_bytes"`
}

type subscriberLook = wire.SubscriberStatus

func (a *app) top(ctx context.Context, f topFlags) error {
	switch {
	case f.every < 100*time.Millisecond || f.every > time.Hour:
		return usagef("--interval %v: want 100ms to 1h", f.every)
	case f.rows < 1 || f.rows > 1000:
		return usagef("--rows %d: want 1 to 1000", f.rows)
	}
	before, asked, err := a.lookAt(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for shown := uint64(0); f.count == 0 || shown < f.count; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, at, err := a.lookAt(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.note("%v", err)
			continue
		}
		if err := a.showLook(compare(before, now, at.Sub(asked), f.rows), f.every); err != nil {
			return err
		}
		before, asked = now, at
		shown++
	}
	return nil
}

// lookAt asks the broker for its status, and says when.
func (a *app) lookAt(ctx context.Context) (*wire.Status, time.Time, error) {
	s, err := a.statusOf(ctx, a.brokerPeer(), "all")
	return s, time.Now(), err
}

// compare says what happened between two answers of the broker, and keeps so many of the busiest topics and the worst subscribers.
// Where a topic is of another epoch, or the broker of another start, what it has now came in between.
func compare(before, now *wire.Status, took time.Duration, rows int) look {
	l := look{At: quote.TimeOf(time.Now()), Source: "down", Topics: len(now.Topics), Subscribers: len(now.Subscribers), Busiest: []topicRate{}, Lagging: []subscriberLook{}}
	for _, p := range now.Peers {
		if p.Name == "core" {
			l.Source = p.State
		}
	}
	for name, t := range now.Topics {
		came := t.Next - min(t.Next, 1)
		if was, ok := before.Topics[name]; ok && before.Since == now.Since && was.Epoch == t.Epoch {
			came = t.Next - min(was.Next, t.Next)
		}
		r := topicRate{name, float64(came) / max(took.Seconds(), 1e-3), t.Next, t.Bytes}
		l.Frames += r.Frames
		l.LogBytes += t.Bytes
		l.Busiest = append(l.Busiest, r)
	}
	slices.SortFunc(l.Busiest, func(a, b topicRate) int {
		return cmp.Or(cmp.Compare(b.Frames, a.Frames), cmp.Compare(a.Topic, b.Topic))
	})
	l.Lagging = append(l.Lagging, now.Subscribers...)
	slices.SortFunc(l.Lagging, func(a, b subscriberLook) int {
		return cmp.Or(cmp.Compare(b.Lag, a.Lag), cmp.Compare(b.Lost, a.Lost), cmp.Compare(b.Skipped, a.Skipped), cmp.Compare(a.Addr, b.Addr))
	})
	for _, s := range l.Lagging {
		l.MaxLag = max(l.MaxLag, s.Lag)
		l.Skipped += s.Skipped
		l.Lost += s.Lost
	}
	l.Busiest, l.Lagging = l.Busiest[:min(rows, len(l.Busiest))], l.Lagging[:min(rows, len(l.Lagging))]
	return l
}

// again puts the cursor where the last look began and clears what is below.
const again = "\x1b[H\x1b[J"

func (a *app) showLook(l look, every time.Duration) error {
	if !a.out.tabular() {
		raw, err := json.Marshal(l)
		if err != nil {
			return err
		}
		return a.out.json(raw)
	}
	head := fmt.Sprintf("%s  core %s  %.0f frames/s  %d topics  %d B of log  %d subscribers  lag at most %d B  %d skipped  %d lost",
		l.At.Std().Format(time.TimeOnly), clean(l.Source), l.Frames, l.Topics, l.LogBytes, l.Subscribers, l.MaxLag, l.Skipped, l.Lost)
	if !a.out.terminal {
		return a.out.linef("%s", head)
	}
	if err := a.out.linef("%s%s, every %v; Ctrl-C ends it\n", again, head, every); err != nil {
		return err
	}
	t := a.out.newTable(column{name: "TOPIC"}, column{name: "FRAMES/S", right: true}, column{name: "NEXT", right: true}, column{name: "LOG BYTES", right: true})
	for _, r := range l.Busiest {
		t.add(text(r.Topic), cell{text: fmt.Sprintf("%.1f", r.Frames)}, number(r.Next), number(uint64(r.Bytes)))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.out.linef(""); err != nil {
		return err
	}
	t = a.out.newTable(column{name: "SUBSCRIBER"}, column{name: "TOPICS", right: true}, column{name: "LAG BYTES", right: true}, column{name: "SKIPPED", right: true}, column{name: "LOST", right: true})
	for _, s := range l.Lagging {
		t.add(text(s.Addr), number(uint64(s.Topics)), number(s.Lag), number(s.Skipped), number(s.Lost))
	}
	return t.flush()
}
