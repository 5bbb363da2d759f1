package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/quote"
	"quotes/src/wire"
)

func (a *app) checkCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Follow one live quote from the exchange to durable history and into a report, by its position",
		Long: `Waits for the next live quote that the broker sends, then until the aggregator has that very record, by its position
and byte by byte, in a history with coverage 1, and makes a complete report whose price is of that position or a later one.
That is what helm test runs.`,
		Example: "  quotectl check --wait 30s",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context(), wait) },
	}
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "longest wait for the whole way")
	return cmd
}

func (a *app) check(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	live, err := a.nextLive(ctx)
	if err != nil {
		return fmt.Errorf("no live quote from %s within %v: %w", a.broker, wait, err)
	}
	a.note("%s %d/%d came from the broker", live.Topic, live.Epoch, live.Seq)
	for _, stage := range []struct {
		name string
		seen func(context.Context, wire.Frame) error
	}{{"history", a.stored}, {"a report", a.reported}} {
		if err := persist(ctx, live, stage.seen); err != nil {
			return fmt.Errorf("%s %d/%d did not come into %s within %v: %w", live.Topic, live.Epoch, live.Seq, stage.name, wait, err)
		}
		a.note("%s %d/%d is in %s, coverage 1", live.Topic, live.Epoch, live.Seq, stage.name)
	}
	return a.out.items([]json.RawMessage{live.Payload}, true)
}

// persist asks until the answer is nil, and returns the last other one when ctx ends.
func persist(ctx context.Context, f wire.Frame, seen func(context.Context, wire.Frame) error) error {
	for {
		err := seen(ctx, f)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// nextLive waits for a frame whose quote is live and that is no snapshot.
func (a *app) nextLive(ctx context.Context) (wire.Frame, error) {
	found := make(chan wire.Frame, 1)
	client := wire.NewClient(wire.ClientConfig{
		Dial: wire.DialConfig{Addr: a.broker, OnFrame: func(f wire.Frame) {
			var q quote.Quote
			if f.Type == wire.TypePublish && !f.Snapshot && f.Decode(&q) == nil && q.Quality.State == quote.Live {
				select {
				case found <- f:
				default:
				}
			}
		}},
		OnUp: func(ctx context.Context, s *wire.Session) error {
			sub := wire.Make(wire.TypeSubscribe, wire.Subscribe{Mode: wire.ModeAll})
			sub.Topic = "quotes.*"
			_, err := s.Do(ctx, sub)
			return err
		},
	})
	run, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = client.Run(run) }()
	defer func() { stop(); <-ended }()
	select {
	case f := <-found:
		return f, nil
	case <-ctx.Done():
		_, err := client.Session(context.WithoutCancel(ctx))
		if err == nil {
			err = errors.New("connected, but no price is live; why: quotectl status")
		}
		return wire.Frame{}, err
	}
}

// stored asks for the one record at the frame's position.
func (a *app) stored(ctx context.Context, f wire.Frame) error {
	topic := quote.Topic(f.Topic)
	one := 1
	after := f.Point()
	after.Seq--
	answers, err := askFor[wire.RespHist](ctx, a, wire.Make(wire.TypeReqHist, wire.ReqHist{
		Symbols: []quote.Symbol{topic.Symbol()}, Kinds: []quote.Kind{topic.Kind()},
		After: map[quote.Topic]quote.Point{topic: after}, Limit: &one,
	}))
	if err != nil {
		return err
	}
	for _, h := range answers {
		switch {
		case len(h.Records) == 0 || h.Records[0].Point() != f.Point():
			continue
		case !bytes.Equal(h.Records[0].Payload, f.Payload):
			return fmt.Errorf("history has another record at this position: %s", h.Records[0].Payload)
		case h.Coverage == nil || *h.Coverage < 1:
			return &coded{ExitPartial, fmt.Errorf("history is not complete: missing %v", h.Missing)}
		}
		return nil
	}
	return errors.New("history does not have it yet")
}

// reported asks for a report whose price is of the frame's position or a later one.
func (a *app) reported(ctx context.Context, f wire.Frame) error {
	reports, err := askFor[wire.Report](ctx, a, wire.Make(wire.TypeReqReport, wire.ReqReport{Symbol: quote.Topic(f.Topic).Symbol(), MinCoverage: 1}))
	if err != nil {
		return err
	}
	for _, r := range reports {
		switch p := r.CurrentPrice; {
		case r.Coverage < 1:
			return &coded{ExitPartial, fmt.Errorf("the report is not complete: missing %v", r.Missing)}
		case p == nil:
			return errors.New("the report has no price")
		case (quote.Point{Epoch: p.Epoch, Seq: p.Seq}).Compare(f.Point()) < 0:
			return fmt.Errorf("the report's price is of %d/%d", p.Epoch, p.Seq)
		}
	}
	return nil
}
