package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/cluster"
	"quotes/src/quote"
	"quotes/src/wire"
)

// demoFlags are the demo command's own.
type demoFlags struct {
	after, lasting time.Duration
}

func (a *app) demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start everything in this process, cut the exchange, and tell what a consumer sees",
		Long: `Starts all seven processes in this one, on free ports of 127.0.0.1 and with their data in a folder that is removed at the
end. It watches PETR4 like any consumer, cuts the exchange, and tells what happens, with the seconds since its start: live, stale,
recovering, live. The exit code is 1 where one of these does not come in time. Nothing that runs already is touched.`,
		Example: "  quotectl demo\n  quotectl demo --after 2s --outage 4s -o ndjson",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), f) },
	}
	cmd.Flags().DurationVar(&f.after, "after", 5*time.Second, "the exchange is cut so long after the first live price, 0s to 30s")
	cmd.Flags().DurationVar(&f.lasting, "outage", 8*time.Second, "how long it stays cut, 2s to 30s")
	return cmd
}

// patience is how long the demo waits for what must come within seconds.
const patience = 20 * time.Second

func (a *app) demo(ctx context.Context, f demoFlags) error {
	switch {
	case f.after < 0 || f.after > 30*time.Second:
		return usagef("--after %v: want 0s to 30s", f.after)
	case f.lasting < 2*time.Second || f.lasting > 30*time.Second:
		return usagef("--outage %v: want 2s to 30s", f.lasting)
	}
	dir, err := os.MkdirTemp("", "quotes-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	t := newTeller(a)
	c, err := cluster.New(cluster.Config{Dir: dir, Symbols: []string{"PETR4", "VALE3", "BTC-USD"}, Rate: 5})
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = c.StartAll(starting)
	if err == nil {
		a.broker, a.aggregator = c.Addr(cluster.Broker), c.Addr(cluster.Aggregator)
		t.say("start", "seven processes run in this one; broker %s, aggregator %s", a.broker, a.aggregator)
		err = a.perform(ctx, f, t, c)
	}
	return errors.Join(err, c.StopAll())
}

// perform cuts the exchange once and waits for each thing that a consumer must see.
func (a *app) perform(ctx context.Context, f demoFlags, t *teller, c *cluster.Cluster) error {
	ctx, stop := context.WithCancel(ctx)
	watch := newFollower(a, []quote.Pattern{"quotes.PETR4", "status.core"}, wire.Subscribe{Mode: wire.ModeAll}, 0)
	watch.show = t.frame
	watched := make(chan error, 1)
	go func() { watched <- watch.run(ctx) }()
	err := a.outage(ctx, f, t, c)
	stop()
	return errors.Join(err, <-watched)
}

func (a *app) outage(ctx context.Context, f demoFlags, t *teller, c *cluster.Cluster) error {
	if err := t.await(ctx, patience, quote.Live); err != nil {
		return err
	}
	if err := pause(ctx, f.after); err != nil {
		return err
	}
	t.say("cut", "the exchange is cut now, for %v", f.lasting)
	c.Exchange().Outage(f.lasting)
	if err := t.await(ctx, patience, quote.Stale); err != nil {
		return err
	}
	if err := pause(ctx, f.lasting/2); err != nil {
		return err
	}
	if err := a.tellReport(ctx, t); err != nil {
		return err
	}
	if err := t.await(ctx, f.lasting+patience, quote.Recovering, quote.Live); err != nil {
		return err
	}
	if err := a.tellReport(ctx, t); err != nil {
		return err
	}
	t.say("end", "that was an outage, as a consumer sees it: every price said how fresh it was")
	return nil
}

// tellReport tells what a report says now.
func (a *app) tellReport(ctx context.Context, t *teller) error {
	reports, err := askFor[wire.Report](ctx, a, wire.Make(wire.TypeReqReport, wire.ReqReport{Symbol: "PETR4"}))
	if err != nil {
		return err
	}
	if len(reports) != 1 || reports[0].CurrentPrice == nil {
		return errors.New("the aggregator's report has no price")
	}
	r := reports[0]
	age := ""
	if ms := r.CurrentPrice.Quality.AgeMS; ms != nil {
		age = fmt.Sprintf(", %.1f s old", float64(*ms)/1000)
	}
	t.say("report", "a report answers in %.1f ms: %s, %s%s, coverage %g with %d trades",
		r.TookMS, r.CurrentPrice.Price, qualityCell(r.CurrentPrice.Quality).text, age, r.Coverage, len(r.History))
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
