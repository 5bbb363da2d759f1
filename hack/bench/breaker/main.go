// Command breaker measures our circuit breaker beside gobreaker and failsafe-go, in one process: make bench-breaker.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"

	"quotes/hack/bench/bench"
	"quotes/hack/bench/breaker/faults"
	"quotes/src/breaker"
)

const (
	rounds = 15
	calls  = 400_000 // a round and side
)

// path is one kind of call, on each breaker.
type path struct {
	name    string
	goal    string
	workers int  // goroutines that call
	through bool // the calls must be let through
	sides   []side
}

// closed are the breakers with their defaults.
func closed() []side {
	return []side{ours(breaker.Config{}), sony(gobreaker.Settings{}), failsafeGo(circuitbreaker.NewWithDefaults[any]())}
}

func paths() []path {
	return []path{
		{name: "closed", goal: "<=0.60", workers: 1, through: true, sides: closed()},
		{name: "closed-parallel", goal: "<=0.60", workers: runtime.GOMAXPROCS(0), through: true, sides: closed()},
		{name: "open", goal: "<=0.60", workers: 1, sides: []side{
			ours(breaker.Config{ConsecutiveFailures: 1, OpenFor: never, OpenMax: never}, errDown),
			sony(gobreaker.Settings{Timeout: never, ReadyToTrip: func(c gobreaker.Counts) bool { return c.TotalFailures > 0 }}, errDown),
			failsafeGo(circuitbreaker.NewBuilder[any]().WithDelay(never).Build(), errDown),
		}},
		{name: "half-open", goal: "<=1.0", workers: 1, sides: []side{oursHalfOpen(), sonyHalfOpen(), failsafeHalfOpen()}},
	}
}

func main() {
	printFaults()
	debug.SetGCPercent(400)
	printSweep()
	gobreakerVersion, failsafeVersion := version("github.com/sony/gobreaker/v2"), version("github.com/failsafe-go/failsafe-go")
	var rows, others []bench.Row
	most := 0.0
	for _, p := range paths() {
		got := p.measure(rounds)
		row := bench.Row{Name: p.name, Ours: got[0].Median(), Theirs: got[1].Median(), Peer: "gobreaker " + gobreakerVersion, Unit: "ns/op", Goal: p.goal, Spread: got[0].Spread()}
		rows = append(rows, row)
		row.Name, row.Theirs, row.Peer, row.Goal = p.name+"-failsafe", got[2].Median(), "failsafe-go "+failsafeVersion, ""
		others = append(others, row)
		most = max(most, p.allocations())
	}
	rows = append(rows,
		bench.Row{Name: "allocs", Ours: most, Unit: "allocs/op", Goal: "<=0"},
		bench.Row{Name: "memory", Ours: memory(), Unit: "B", Goal: "<=4096"})
	if err := bench.Print(os.Stdout, "breaker", append(rows, others...)); err != nil {
		fmt.Fprintln(os.Stderr, "bench breaker:", err)
		os.Exit(1)
	}
}

// printFaults prints who passes which of the faults that breakers had.
func printFaults() {
	libraries := []faults.Library{faults.Ours(), faults.Gobreaker(), faults.Failsafe()}
	fmt.Print("| fault |")
	for _, l := range libraries {
		fmt.Printf(" %s |", l.Name)
	}
	fmt.Println("\n|---|---|---|---|")
	for _, s := range faults.Scenarios() {
		fmt.Printf("| %s |", s.Name)
		for _, l := range libraries {
			verdict := "passes"
			if err := s.Run(l); err != nil {
				verdict = "fails: " + err.Error()
			}
			fmt.Printf(" %s |", verdict)
		}
		fmt.Println()
	}
	fmt.Println()
}

// printSweep shows how a closed breaker bears callers.
func printSweep() {
	fmt.Println("| goroutines | ours, ns/op | gobreaker | failsafe-go |\n|---|---|---|---|")
	for _, n := range []int{1, 2, 4, 16, 64, 256} {
		p := path{name: "sweep", workers: n, through: true, sides: closed()}
		got := p.measure(5)
		fmt.Printf("| %d | %.0f | %.0f | %.0f |\n", n, got[0].Median(), got[1].Median(), got[2].Median())
	}
	fmt.Println()
}

// measure returns what each side's calls take, a value a round.
func (p path) measure(rounds int) []bench.Series {
	var runs []func() float64
	for _, s := range p.sides {
		runs = append(runs, func() float64 { return p.nanoseconds(s) })
	}
	return bench.Interleave(rounds, runs...)
}

// nanoseconds returns what one call takes, in a round of calls.
func (p path) nanoseconds(s side) float64 {
	var wg sync.WaitGroup
	began := time.Now()
	for range p.workers {
		wg.Go(func() {
			for range calls / p.workers {
				if s.call() != p.through {
					panic(p.name + ": " + s.name + " changed its state")
				}
			}
		})
	}
	wg.Wait()
	return float64(time.Since(began).Nanoseconds()) / calls
}

// allocations returns how many one of our calls makes on this path, on average.
func (p path) allocations() float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		p.sides[0].call()
	}
	runtime.ReadMemStats(&after)
	// One error a millisecond is made anew: that is not an allocation a call.
	return float64((after.Mallocs - before.Mallocs) / calls)
}

// memory returns the bytes of one idle breaker of ours.
func memory() float64 {
	const n = 2000
	all := make([]*breaker.Breaker, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range all {
		b, err := breaker.New(breaker.Config{Name: "bench"})
		if err != nil {
			panic(err)
		}
		all[i] = b
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(all)
	return float64(after.HeapAlloc-before.HeapAlloc) / n
}

// version returns that of a module we were built with.
func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
