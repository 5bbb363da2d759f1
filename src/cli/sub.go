package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/wire"
)

// subFlags are the sub command's own.
type subFlags struct {
	mode     string
	interval time.Duration
	count    uint64
	lasting  time.Duration
	resume   string
	fill     bool
	verify   bool
}

func (a *app) subCommand() *cobra.Command {
	var f subFlags
	cmd := &cobra.Command{
		Use:   "sub PATTERN…",
		Short: "Live quotes and trades, a line a frame, until Ctrl-C",
		Long: `Live quotes and trades, a line a frame, until Ctrl-C, --count or --for.

PATTERN is a symbol (its quotes), quotes.SYMBOL, trades.SYMBOL, status.core, quotes.*, trades.* or *.
After a cut it connects again by itself and goes on from where it was. What the broker does not have any more then, it names as LOST,
and it is taken from history, at the aggregator, before anything else is shown. Cuts, losses and what was skipped for lag are told on
stderr. Each frame's position is checked against the one before: where frames are missing that the broker did not name, the
exit code is 1. With --verify the counts are told at the end in any case, and it is 1 too where a frame came twice or LOST ones could
not be filled: nobody can have seen more than such a subscriber that ends with 0.`,
		Example: `  quotectl sub PETR4
  quotectl sub trades.PETR4 --count 10
  quotectl sub '*' -o ndjson --for 1m > ticks.ndjson
  quotectl sub 'quotes.*' --mode sampled --interval 1s
  quotectl sub '*' --verify --for 1m > /dev/null
  quotectl sub 'trades.*' -o ndjson --resume trades.pos >> trades.ndjson`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeSymbols,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.sub(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.mode, "mode", "", "`MODE` for quotes: all, latest (as fast as they are read) or sampled; sampled where --interval is given, else all")
	fs.DurationVar(&f.interval, "interval", 0, "of mode sampled, 1ms to 1m; the broker's own (250ms) where 0")
	fs.Uint64Var(&f.count, "count", 0, "end after so many frames; never where 0")
	fs.DurationVar(&f.lasting, "for", 0, "end after so long; never where 0")
	fs.StringVar(&f.resume, "resume", "", "go on from the positions in `FILE`, where it exists, and keep them there at the end")
	fs.BoolVar(&f.fill, "fill", true, "take what the broker names as LOST from history; conflated quotes aside")
	fs.BoolVar(&f.verify, "verify", false, "end with counts of frames, gaps, duplicates, skipped and filled; exit 1 where anything is missing")
	modes := []string{string(wire.ModeAll), string(wire.ModeLatest), string(wire.ModeSampled)}
	_ = cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions(modes, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// request checks the flags and returns what every SUBSCRIBE says.
func (f *subFlags) request() (wire.Subscribe, error) {
	mode := wire.Mode(f.mode)
	if mode == "" {
		if mode = wire.ModeAll; f.interval != 0 {
			mode = wire.ModeSampled
		}
	}
	switch {
	case mode != wire.ModeAll && mode != wire.ModeLatest && mode != wire.ModeSampled:
		return wire.Subscribe{}, usagef("--mode %q: want all, latest or sampled", f.mode)
	case f.interval != 0 && mode != wire.ModeSampled:
		return wire.Subscribe{}, usagef("--interval is of --mode sampled, not of %s", mode)
	case f.interval != 0 && (f.interval < time.Millisecond || f.interval > time.Minute):
		return wire.Subscribe{}, usagef("--interval %v: want 1ms to 1m", f.interval)
	case f.lasting < 0:
		return wire.Subscribe{}, usagef("--for %v: want 0 or more", f.lasting)
	}
	return wire.Subscribe{Mode: mode, IntervalMS: f.interval.Milliseconds()}, nil
}

// errEnough ends a subscription that got what was asked for.
var errEnough = errors.New("enough")

func (a *app) sub(ctx context.Context, f subFlags, args []string) error {
	pats, err := patterns(args)
	if err != nil {
		return err
	}
	req, err := f.request()
	if err != nil {
		return err
	}
	s := newFollower(a, pats, req, f.count)
	s.fills, s.verify = f.fill, f.verify
	if f.resume != "" {
		at, err := loadPositions(f.resume)
		if err != nil {
			return err
		}
		s.tracker.resume(at)
	}
	if f.lasting > 0 {
		timed, cancel := context.WithTimeoutCause(ctx, f.lasting, errEnough)
		defer cancel()
		ctx = timed
	}
	err = s.run(ctx)
	if f.resume != "" && s.calm {
		if e := savePositions(f.resume, s.tracker.positions("*")); e != nil {
			if err == nil {
				return e
			}
			a.note("%v", e)
		}
	}
	return err
}

// verdict is the error for anything that this subscriber has not got, or got twice.
func (t *tracker) verdict() error {
	if err := t.gapsError(); err != nil {
		return err
	}
	switch {
	case t.duplicates > 0:
		return fmt.Errorf("%d frames came twice", t.duplicates)
	case t.missing > 0:
		return fmt.Errorf("%d of %d LOST frames are missing", t.missing, t.lost)
	case t.unsure > 0:
		return fmt.Errorf("of %d LOST ranges whose size nobody knows history may lack some", t.unsure)
	}
	return nil
}

// gapsError is the error for frames that are missing without a word.
func (t *tracker) gapsError() error {
	if t.gaps == 0 {
		return nil
	}
	return fmt.Errorf("%d unexplained gaps: frames are missing that the broker did not name", t.gaps)
}
