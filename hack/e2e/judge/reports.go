package judge

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Answered fails where a report that was due in the window has no answer; of some paths, or of all where none is named.
func Answered(events []history.Event, w history.Window, least int, paths ...string) error {
	const what = "reports never fail"
	judged := reports(events, w, paths...)
	if err := floor(what, len(judged), least); err != nil {
		return err
	}
	var faults []fault
	for _, e := range judged {
		if e.Class != "" {
			faults = append(faults, fault{e.At, failed(e)})
		}
	}
	return verdict(what, w.From, len(judged), faults)
}

// AnsweredBut is Answered, and allows failures on each path for as long as a span from the first failure to the next
// answer lasts at most allowed.
func AnsweredBut(events []history.Event, w history.Window, allowed time.Duration, least int, paths ...string) error {
	what := fmt.Sprintf("reports fail for at most %v", allowed)
	judged := reports(events, w, paths...)
	if err := floor(what, len(judged), least); err != nil {
		return err
	}
	var faults []fault
	down := map[string][]*history.Event{} // the failures of a path since its last answer
	end := func(path string, until time.Time) {
		if list := down[path]; len(list) > 0 && until.Sub(list[0].At) > allowed {
			for _, e := range list {
				faults = append(faults, fault{e.At, failed(e)})
			}
		}
		delete(down, path)
	}
	for _, e := range judged {
		if e.Class != "" {
			down[e.Path] = append(down[e.Path], e)
			continue
		}
		end(e.Path, e.At)
	}
	for path, list := range down { // still failing at the window's end
		end(path, list[len(list)-1].At)
	}
	return verdict(what, w.From, len(judged), faults)
}

// Whole fails where a report that was due in the window has no answer, or one that is not whole: coverage 1, nothing missing.
func Whole(events []history.Event, w history.Window, least int) error {
	return Covered(events, w, nil, least)
}

// Covered is Whole, but for the symbols that lack names: their reports have coverage 0, and name exactly that slot with that
// symbol as missing.
func Covered(events []history.Event, w history.Window, lack map[quote.Symbol]int, least int) error {
	what := "reports are whole"
	if len(lack) > 0 {
		what = fmt.Sprintf("reports say truly that %v is missing", lack)
	}
	judged := reports(events, w)
	seen := map[quote.Symbol]bool{}
	var faults []fault
	for _, e := range judged {
		seen[e.Symbol] = true
		slot, lacking := lack[e.Symbol]
		coverage, missing := 1.0, []wire.Missing(nil)
		if lacking {
			coverage, missing = 0, []wire.Missing{{Slot: slot, Symbols: []quote.Symbol{e.Symbol}}}
		}
		switch {
		case e.Class != "":
			faults = append(faults, fault{e.At, failed(e)})
		case e.Coverage != coverage || !slices.EqualFunc(e.Missing, missing, func(a, b wire.Missing) bool { return reflect.DeepEqual(a, b) }):
			faults = append(faults, fault{e.At, fmt.Sprintf("coverage %v of %s, missing %+v; want %v, %+v", e.Coverage, e.Symbol, e.Missing, coverage, missing)})
		}
	}
	if err := floor(what, len(judged), least); err != nil {
		return err
	}
	for symbol := range lack {
		if !seen[symbol] {
			return fmt.Errorf("%s: %w: none of %s", what, ErrTooFew, symbol)
		}
	}
	return verdict(what, w.From, len(judged), faults)
}
