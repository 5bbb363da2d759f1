// Command broker measures our broker beside nats-server, each in a process of its own over loopback TCP: make bench-broker. With
// words as arguments only those parts run: fanout, latency, stalled, resume, memory, curves.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"quotes/hack/bench/bench"
)

const (
	rounds = 5
	length = time.Second // of one run
)

func main() {
	var err error
	switch {
	case len(os.Args) > 2 && os.Args[1] == "serve" && os.Args[2] == "nats":
		err = serveNATS()
	case len(os.Args) > 2 && os.Args[1] == "serve":
		err = serveOurs(os.Args[3:])
	default:
		var rows []bench.Row
		rows, err = measure()
		if len(rows) > 0 {
			err = errors.Join(err, bench.Print(os.Stdout, "broker", rows))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench broker:", err)
		os.Exit(1)
	}
}

// say tells how far it is, on stderr: stdout is the report's.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// both are the systems, in the order of each round.
func both() [2]*system { return [2]*system{oursSystem(), natsSystem()} }

func measure() (rows []bench.Row, err error) {
	for _, part := range []struct {
		name string
		run  func() ([]bench.Row, error)
	}{{"fanout", fanouts}, {"latency", latencies}, {"stalled", stalls}, {"resume", resumes}, {"memory", memories}, {"curves", curves}} {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], part.name) {
			continue
		}
		say("%s", part.name)
		got, fault := part.run()
		if fault != nil { // the others are measured all the same
			say("  %s: %v", part.name, fault)
			err = errors.Join(err, fmt.Errorf("%s: %w", part.name, fault))
		}
		for _, r := range got {
			say("  %s: %.3f %s, theirs %.3f", r.Name, r.Ours, r.Unit, r.Theirs)
		}
		rows = append(rows, got...)
	}
	return rows, err
}

// text is a payload of n bytes: a JSON string.
func text(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }

// realQuote is a quote as core publishes it.
const realQuote = `{"symbol":"PETR4","price":"38.25","bid":"38.25","ask":"38.31","bid_size":"1400","ask_size":"2200","timestamp":"2026-11-23T18:22:59.681265Z","received":"2026-11-23T18:22:59.681461Z","quality":{"state":"live"}}`

// mixed are the patterns of 64 readers over 200 topics: half read some topics by name, a quarter all quotes, a quarter everything.
func mixed(topics []string) (out [][]string) {
	for i := range 64 {
		switch i % 4 {
		case 0:
			out = append(out, []string{"quotes.*"})
		case 1:
			out = append(out, []string{"*"})
		default:
			var some []string
			for k := range 20 {
				some = append(some, topics[(7*i+k)%len(topics)])
			}
			out = append(out, some)
		}
	}
	return out
}

// fanouts are the rows of deliveries a second, and what they cost the server.
func fanouts() (rows []bench.Row, err error) {
	one, many := names(1), names(200)
	for _, f := range []struct {
		name, goal string
		load       load
	}{
		{"fanout-8", ">=2.0", load{topics: one, payload: text(128), readers: same(8, one[0])}},
		{"fanout-64", ">=2.0", load{topics: one, payload: text(128), readers: same(64, one[0])}},
		{"fanout-quote", ">=1.6", load{topics: one, payload: []byte(realQuote), readers: same(64, one[0])}},
		{"topics-200", ">=1.5", load{topics: many, payload: text(128), readers: mixed(many)}},
	} {
		f.load.length = length
		rate, cpu, err := f.load.compare(rounds)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", f.name, err)
		}
		rows = append(rows, row(f.name, "deliveries/s", f.goal, rate))
		if f.name == "fanout-64" {
			rows = append(rows, row("cpu-64", "ns/delivery", "<=0.5", cpu))
		}
	}
	return rows, nil
}

// compare runs the systems in turns and returns their rates and processor times.
func (l *load) compare(rounds int) (rate, cpu [2]bench.Series, err error) {
	for range rounds {
		for i, s := range both() {
			res, err := l.run(s)
			if err != nil {
				return rate, cpu, err
			}
			rate[i] = append(rate[i], res.delivered)
			cpu[i] = append(cpu[i], float64(res.cpu.Nanoseconds()))
		}
	}
	return rate, cpu, nil
}

// row sets our median beside theirs.
func row(name, unit, goal string, s [2]bench.Series) bench.Row {
	return bench.Row{Name: name, Unit: unit, Goal: goal, Ours: s[0].Median(), Theirs: s[1].Median(), Peer: natsSystem().version, Spread: s[0].Spread()}
}

// curves are the cost of one delivery against the number of readers and of topics.
func curves() (rows []bench.Row, err error) {
	add := func(name string, l load) error {
		l.payload, l.length = text(128), time.Second
		rate, _, err := l.compare(1)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i := range rate {
			rate[i][0] = 1e9 / rate[i][0]
		}
		rows = append(rows, row(name, "ns/delivery", "", rate))
		return nil
	}
	one := names(1)
	for _, n := range []int{1, 8, 64, 512, 4096} {
		if err := add(fmt.Sprintf("curve-subscribers-%d", n), load{topics: one, readers: same(n, one[0])}); err != nil {
			return rows, err
		}
	}
	for _, n := range []int{1, 100, 1000, 10_000, 100_000} {
		if err := add(fmt.Sprintf("curve-topics-%d", n), load{topics: names(n), readers: same(8, "quotes.*")}); err != nil {
			return rows, err
		}
	}
	return rows, nil
}
