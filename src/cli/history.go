package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"quotes/src/quote"
	"quotes/src/wire"
)

// historyFlags are the history command's own.
type historyFlags struct {
	kinds    []string
	from, to moment
	limit    uint64
	resume   string
}

const (
	formatCSV = "csv"
	csvIsFine = "csv" // the annotation of a command that can write it
	histPage  = 1000
)

func (a *app) historyCommand() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history SYMBOL…",
		Short: "What the shards have of symbols, record by record",
		Long: `What the shards have of symbols, topic by topic and in the order of positions: a page at a time, however much it is.
With --resume it goes on behind the records that an earlier run has shown. -o csv is for spreadsheets; ndjson is the records as they
are stored. The exit code is 3 where coverage is below 1: then records may be missing, and which shards are is told on stderr.`,
		Example: `  quotectl history PETR4 --from 15m
  quotectl history PETR4 VALE3 --kind trades -o csv > trades.csv
  quotectl history BTC-USD -o ndjson --resume btc.pos >> btc.ndjson`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeSymbols,
		Annotations:       map[string]string{csvIsFine: ""},
		RunE:              func(cmd *cobra.Command, args []string) error { return a.history(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.kinds, "kind", []string{string(quote.Trades), string(quote.Quotes)}, "`KIND` of records: trades, quotes, or both")
	fs.Var(&f.from, "from", "only records at or after `TIME`, or so long ago: 15m")
	fs.Var(&f.to, "to", "only records before `TIME`, or so long ago")
	fs.Uint64Var(&f.limit, "limit", 0, "end after so many records; all where 0")
	fs.StringVar(&f.resume, "resume", "", "go on from the positions in `FILE`, where it exists, and keep them there at the end")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{string(quote.Trades), string(quote.Quotes)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// reading is one run of the history command.
type reading struct {
	*app
	req      wire.ReqHist
	show     func(wire.Record) error
	left     uint64
	coverage float64
	missing  []wire.Missing
	sure     map[quote.Topic]quote.Point // through here every page was complete
}

func (a *app) history(ctx context.Context, f historyFlags, args []string) error {
	r := &reading{app: a, left: f.limit, coverage: 1, sure: map[quote.Topic]quote.Point{}}
	if r.left == 0 {
		r.left = math.MaxUint64
	}
	var err error
	first := true
	if r.req, err = f.request(args); err != nil {
		return err
	}
	if f.resume != "" {
		at, err := loadPositions(f.resume)
		if err != nil {
			return err
		}
		for topic, p := range at {
			if _, asked := r.req.After[topic]; asked {
				r.req.After[topic] = p
				first = first && p.IsZero()
			}
		}
		r.sure = at // those that are not asked for stay as they are
	}
	r.show = a.recordRows(first)
	maps.Copy(r.sure, r.req.After)
	err = r.read(ctx)
	if f.resume != "" {
		if e := savePositions(f.resume, r.sure); e != nil && err == nil {
			err = e
		}
	}
	if err == nil && r.coverage < 1 {
		err = &coded{ExitPartial, fmt.Errorf("coverage was %.3f: records may be missing, of %s", r.coverage, missingSymbols(r.missing))}
	}
	return err
}

func (f *historyFlags) request(args []string) (wire.ReqHist, error) {
	req := wire.ReqHist{From: f.from.at, To: f.to.at, After: map[quote.Topic]quote.Point{}}
	var err error
	if req.Symbols, err = symbols(args); err != nil {
		return req, err
	}
	if f.to.at != 0 && f.from.at >= f.to.at {
		return req, usagef("--from %s is not before --to %s", &f.from, &f.to)
	}
	for _, k := range f.kinds {
		kind := quote.Kind(k)
		if kind != quote.Trades && kind != quote.Quotes {
			return req, usagef("--kind %q: want trades or quotes", k)
		}
		req.Kinds = append(req.Kinds, kind)
		for _, s := range req.Symbols {
			req.After[quote.TopicOf(kind, s)] = quote.Point{} // by position, from the first
		}
	}
	return req, nil
}

// read asks for page after page. What was shown is in req.After, whatever ends it; what is behind a page that was not
// complete is to be read again.
func (r *reading) read(ctx context.Context) error {
	for r.left > 0 {
		most := int(min(r.left, histPage))
		r.req.Limit = &most
		pages, err := askFor[wire.RespHist](ctx, r.app, wire.Make(wire.TypeReqHist, r.req))
		if err != nil {
			return err
		}
		more := false
		for _, h := range pages {
			if h.Coverage != nil && *h.Coverage < r.coverage {
				r.coverage, r.missing = *h.Coverage, h.Missing
			}
			for _, rec := range h.Records {
				if err := r.show(rec); err != nil {
					return err
				}
				r.req.After[rec.Topic] = rec.Point()
				r.left--
				if r.coverage == 1 {
					r.sure[rec.Topic] = rec.Point()
				}
			}
			more = h.More && len(h.Records) > 0
		}
		if !more {
			return nil
		}
	}
	return nil
}

func missingSymbols(missing []wire.Missing) string {
	var out []string
	for _, m := range missing {
		for _, s := range m.Symbols {
			out = append(out, string(s))
		}
	}
	slices.Sort(out)
	return clean(strings.Join(out, ", "))
}

// recordRows returns how records are shown; header asks for what stands above the first ones in CSV.
func (a *app) recordRows(header bool) func(wire.Record) error {
	switch {
	case a.out.format == formatCSV:
		return a.csvRows(header)
	case a.out.tabular():
		rows := a.frameRows()
		return func(r wire.Record) error {
			return rows(r.Topic, wire.Frame{Topic: string(r.Topic), Epoch: r.Epoch, Seq: r.Seq, Payload: r.Payload})
		}
	}
	return func(r wire.Record) error {
		raw, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return a.out.json(raw)
	}
}

// csvRows writes RFC 4180, a record a line, below a header where none is there yet; what a kind does not have is empty.
func (a *app) csvRows(header bool) func(wire.Record) error {
	w := csv.NewWriter(a.out.w)
	names := []string{"topic", "epoch", "seq", "timestamp", "received", "price", "bid", "ask", "bid_size", "ask_size", "quality", "reason", "id", "side", "quantity"}
	return func(r wire.Record) error {
		if header {
			_ = w.Write(names) // Flush has its error
			header = false
		}
		var v struct {
			Timestamp, Received                 string
			Price, Bid, Ask, ID, Side, Quantity string
			BidSize                             string `json:"bid_size"`
			AskSize                             string `json:"ask_size"`
			Quality                             quote.Quality
		}
		if err := json.Unmarshal(r.Payload, &v); err != nil {
			return fmt.Errorf("record %s of %s can't be read: %w", at(r.Point()), r.Topic, err)
		}
		row := []string{
			string(r.Topic), strconv.FormatUint(r.Epoch, 10), strconv.FormatUint(r.Seq, 10), v.Timestamp, v.Received, v.Price, v.Bid, v.Ask,
			v.BidSize, v.AskSize, string(v.Quality.State), string(v.Quality.Reason), v.ID, v.Side, v.Quantity,
		}
		if a.cfg.Terminal {
			for i := range row {
				row[i] = clean(row[i])
			}
		}
		_ = w.Write(row)
		w.Flush()
		if err := w.Error(); err != nil {
			return fmt.Errorf("%w: %w", errOutput, err)
		}
		return nil
	}
}
