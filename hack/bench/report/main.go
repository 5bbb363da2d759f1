// Command report measures the aggregator with all processes on this machine: make bench-report. With words as arguments
// only those parts run: latency, throughput, hedging, curves, hedging, streams, hung, dead, shards.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"quotes/hack/bench/bench"
	"quotes/hack/bench/world"
	"quotes/src/placement"
)

const (
	rounds  = 5
	records = 100
	every   = 4 * time.Millisecond // between two questions of the one client
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "echo" {
		fmt.Fprintln(os.Stderr, echo(os.Args[2]))
		os.Exit(1)
	}
	rows, err := measure()
	if len(rows) > 0 {
		err = errors.Join(err, bench.Print(os.Stdout, "report", rows))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench report:", err)
		os.Exit(1)
	}
}

// say tells how far it is, on stderr: stdout is the report's.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func measure() (rows []bench.Row, err error) {
	w, err := world.New(symbols(), 400)
	if w != nil {
		defer w.Close()
	}
	if err != nil {
		return nil, err
	}
	say("filling the shards")
	if err := fill(w); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		run  func(*world.World) ([]bench.Row, error)
	}{{"latency", latency}, {"throughput", rates}, {"curves", curves}, {"hedging", hedging}, {"streams", streams}, {"hung", hung}, {"dead", dead}, {"shards", shards}} {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], part.name) {
			continue
		}
		say("%s", part.name)
		got, fault := part.run(w)
		if fault != nil { // the others are measured all the same
			say("  %s: %v", part.name, fault)
			err = errors.Join(err, fmt.Errorf("%s: %w", part.name, fault))
		}
		for _, r := range got {
			say("  %s: %.3f %s", r.Name, r.Ours, r.Unit)
		}
		rows = append(rows, got...)
	}
	return rows, err
}

// fill lets the market run fast until every symbol has history, then slow: it must not be what is measured.
func fill(w *world.World) error {
	if err := world.Await("history", func() bool {
		for _, s := range symbols() {
			line, err := once(w.Addr["aggregator"], question(s, 2000, 5000))
			if err != nil || full(2000)(0, line) != nil {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	w.End("external", syscall.SIGKILL)
	w.Market(1)
	if err := w.Start("external"); err != nil {
		return err
	}
	return w.Synced()
}

func once(addr string, q []byte) ([]byte, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.nc.Close()
	return c.ask(q)
}

// rotate asks for one symbol after the other.
func rotate(limit, budget int) func(int) []byte {
	var asks [][]byte
	for _, s := range symbols() {
		asks = append(asks, question(s, limit, budget))
	}
	return func(i int) []byte { return asks[i%len(asks)] }
}

func latency(w *world.World) ([]bench.Row, error) {
	addr := w.Addr["aggregator"]
	line, err := once(addr, question(symbols()[0], records, 1000))
	if err != nil {
		return nil, err
	}
	n, err := newNaive(append([]byte{}, line...))
	defer n.close()
	if err != nil {
		return nil, err
	}
	var all bench.Series
	var fault error
	const count = 400
	got := bench.Interleave(rounds, func() float64 {
		s, err := paced(addr, count, every, rotate(records, 1000), full(records))
		fault = errors.Join(fault, err)
		all = append(all, s...)
		return s.Median()
	}, func() float64 {
		s, err := n.paced(count, every)
		fault = errors.Join(fault, err)
		return s.Median()
	})
	p50, p99 := all.Median(), all.Percentile(0.99)
	say("ours: p50 %.3f, p99 %.3f, p99.9 %.3f, max %.3f ms", p50, p99, all.Percentile(0.999), all.Percentile(1))
	return []bench.Row{
		{Name: "report-p50", Ours: got[0].Median(), Theirs: got[1].Median(), Peer: "naive scatter", Unit: "ms", Goal: "<=1.0", Spread: got[0].Spread()},
		{Name: "report-p99", Ours: p99 / p50, Unit: "x p50", Goal: "<=5.0"},
	}, fault
}

func rates(w *world.World) (rows []bench.Row, fault error) {
	for _, r := range []struct {
		limit int
		goal  string
	}{{1, ">=10000"}, {100, ">=3000"}} {
		got := bench.Interleave(rounds, func() float64 {
			n, err := throughput(w.Addr["aggregator"], 64, r.limit, 2*time.Second)
			fault = errors.Join(fault, err)
			return n
		})
		rows = append(rows, bench.Row{Name: fmt.Sprintf("throughput-%d", r.limit), Ours: got[0].Median(), Unit: "reports/s", Goal: r.goal, Spread: got[0].Spread()})
	}
	return rows, fault
}

// hedging runs a second aggregator behind proxies that hold answers back.
func hedging(w *world.World) ([]bench.Row, error) {
	proxies := map[string]*proxy{}
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		p, err := newProxy(w.Addr[name], 30*time.Millisecond)
		if err != nil {
			return nil, err
		}
		defer p.ln.Close()
		proxies[name] = p
	}
	w.Args["slow"] = []string{"--core", w.Addr["core"], "--broker", w.Addr["broker"], "--shards", w.List(func(name string) string { return proxies[name].ln.Addr().String() })}
	if err := w.Start("slow"); err != nil {
		return nil, err
	}
	defer w.End("slow", syscall.SIGKILL)
	extra := func(n int, every time.Duration) (float64, error) {
		before, err := calls(w)
		if err != nil {
			return 0, err
		}
		s, err := paced(w.Addr["slow"], n, every, rotate(1, 1000), full(1))
		if err != nil {
			return 0, err
		}
		say("p50 %.3f, p99 %.3f ms", s.Median(), s.Percentile(0.99))
		after, err := calls(w)
		return (after[0] + after[1] - before[0] - before[1]) / (after[0] - before[0]), err
	}
	if _, err := extra(500, every); err != nil { // it learns what is usual
		return nil, err
	}
	proxies["shard-1"].share.Store(5)
	one, err := extra(3000, every)
	if err != nil {
		return nil, err
	}
	for _, p := range proxies {
		p.share.Store(100)
	}
	all, err := extra(500, 10*every)
	return []bench.Row{
		{Name: "hedge-extra", Ours: one, Unit: "x calls", Goal: "<=1.05"},
		{Name: "hedge-brownout", Ours: all, Unit: "x calls", Goal: "<=1.05"},
	}, err
}

// calls returns the slow aggregator's first calls and its extra ones.
func calls(w *world.World) (out [2]float64, err error) {
	for kind, at := range map[string]int{"first": 0, "hedge": 1, "failover": 1} {
		n, fault := w.Metric("slow", fmt.Sprintf("quotes_aggregator_calls_total{kind=%q}", kind))
		err = errors.Join(err, fault)
		out[at] += n
	}
	return out, err
}

func streams(w *world.World) ([]bench.Row, error) {
	const n = 1000
	w.End("external", syscall.SIGKILL)
	w.Market(20)
	if err := w.Start("external"); err != nil {
		return nil, err
	}
	var fault error
	rate := func() float64 {
		const during = 5 * time.Second
		before, err := w.Metric("core", "quotes_core_records_total")
		time.Sleep(during)
		after, late := w.Metric("core", "quotes_core_records_total")
		fault = errors.Join(fault, err, late)
		return (after - before) / during.Seconds()
	}
	rate()
	alone, err := w.RSS("aggregator")
	if err != nil {
		return nil, err
	}
	stop, err := pages(w.Addr["aggregator"], n)
	if err != nil {
		stop()
		return nil, err
	}
	time.Sleep(3 * time.Second)
	with, err := w.RSS("aggregator")
	fault = errors.Join(fault, err)
	stop()
	got := bench.Interleave(rounds, func() float64 {
		stop, err := pages(w.Addr["aggregator"], n)
		defer stop()
		fault = errors.Join(fault, err)
		return rate()
	}, rate)
	w.End("external", syscall.SIGKILL)
	w.Market(1)
	fault = errors.Join(fault, w.Start("external"), w.Synced())
	ratio := got[0].Median() / got[1].Median()
	return []bench.Row{
		{Name: "stream-1000", Ours: max(with-alone, 0) / n, Unit: "B/page", Goal: "<=65536"},
		{Name: "stream-1000-rate", Ours: ratio, Unit: "x alone", Goal: ">=0.97", Spread: got[0].Spread()},
	}, fault
}

func hung(w *world.World) ([]bench.Row, error) {
	if err := w.Hold("disable"); err != nil {
		return nil, err
	}
	if _, err := paced(w.Addr["aggregator"], 600, every, rotate(records, 1000), full(records)); err != nil { // it learns what is usual
		return nil, err
	}
	delay := 0.0
	for i := range 3 {
		d, err := w.Metric("aggregator", fmt.Sprintf("quotes_aggregator_hedge_delay_seconds{source=%q}", fmt.Sprintf("shard-%d", i)))
		if err != nil {
			return nil, err
		}
		delay = max(delay, d*1000)
	}
	if err := w.Signal("shard-1", syscall.SIGSTOP); err != nil {
		return nil, err
	}
	s, err := paced(w.Addr["aggregator"], 2100, every, rotate(records, 1000), full(records))
	if err := errors.Join(err, w.Signal("shard-1", syscall.SIGCONT)); err != nil {
		return nil, err
	}
	s = s[100:]
	say("hedge delay %.3f ms; p50 %.3f, p99 %.3f, max %.3f ms", delay, s.Median(), s.Percentile(0.99), s.Percentile(1))
	return []bench.Row{{Name: "hung-1", Ours: max(s.Percentile(0.99)-delay, 0), Unit: "ms beyond the hedge delay", Goal: "<=5.0"}}, errors.Join(w.Hold("reset"), w.Synced())
}

func dead(w *world.World) ([]bench.Row, error) {
	addr := w.Addr["aggregator"]
	var fault error
	got := bench.Interleave(rounds, func() float64 {
		s, err := paced(addr, 600, every, rotate(records, 1000), full(records))
		fault = errors.Join(fault, err)
		return s.Percentile(0.99)
	}, func() float64 {
		w.End("shard-1", syscall.SIGKILL)
		s, err := paced(addr, 600, every, rotate(records, 1000), full(records))
		fault = errors.Join(fault, err, w.Restart("shard-1"))
		return s.Percentile(0.99)
	})
	if fault != nil {
		return nil, fault
	}
	say("p99: healthy %.3f, one dead %.3f ms", got[0].Median(), got[1].Median())
	rows := []bench.Row{{Name: "dead-1", Ours: got[1].Median() / got[0].Median(), Unit: "x healthy p99", Goal: "<=2.0", Spread: got[1].Spread()}}
	over, err := deadTwo(w)
	return append(rows, bench.Row{Name: "dead-2", Ours: over, Unit: "ms over the budget", Goal: "<=10"}), err
}

// deadTwo kills two shards and returns by how much the slowest answer passed its budget. An answer is exact where it is
// complete if and only if the shard that lives owns the symbol, and names the symbol as missing if not.
func deadTwo(w *world.World) (float64, error) {
	list, err := placement.ParseShards(w.Args["core"][5])
	if err != nil {
		return 0, err
	}
	table, err := placement.New(list, 2)
	if err != nil {
		return 0, err
	}
	w.End("shard-1", syscall.SIGKILL)
	w.End("shard-2", syscall.SIGKILL)
	const budget = 1000 // the default
	names := symbols()
	s, err := paced(w.Addr["aggregator"], 1000, every, rotate(records, budget), func(i int, line []byte) error {
		var got seen
		if err := json.Unmarshal(line, &got); err != nil {
			return err
		}
		name := names[i%len(names)]
		slot := placement.Slot(name)
		p := got.Payload
		lives := table.Owns(table.Index("shard-0"), slot)
		exact := lives && p.Coverage == 1 && len(p.Missing) == 0 && len(p.History) == records ||
			!lives && p.Coverage == 0 && len(p.Missing) == 1 && p.Missing[0].Slot == slot && strings.Join(p.Missing[0].Symbols, ",") == name
		if got.Type != "RESP_REPORT" || !exact {
			return fmt.Errorf("%s, owned by the one that lives: %v: %.300s", name, lives, line)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	say("p50 %.3f, p99 %.3f, max %.3f ms with a budget of %d", s.Median(), s.Percentile(0.99), s.Percentile(1), budget)
	return max(s.Percentile(1)-budget, 0), nil
}

const symbolCount = 32

func symbols() []string { return world.Symbols(symbolCount) }
