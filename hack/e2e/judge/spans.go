package judge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quotes/hack/e2e/history"
)

// ErrTooFew says that a history holds too little to judge by: nothing passes empty.
var ErrTooFew = errors.New("too few probes to judge by")

// mostFaults is how many faults an error lists.
const mostFaults = 10

// fault is something wrong at a moment.
type fault struct {
	at   time.Time
	what string
}

// verdict makes an error of faults, equal ones that follow one another as one span. It is nil for none.
func verdict(what string, begin time.Time, judged int, faults []fault) error {
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return a.at.Compare(b.at) })
	var lines []string
	for i := 0; i < len(faults); {
		j := i + 1
		for j < len(faults) && faults[j].what == faults[i].what {
			j++
		}
		span := since(begin, faults[i].at)
		if j > i+1 {
			span = fmt.Sprintf("%s to %s, %d times", span, since(begin, faults[j-1].at), j-i)
		}
		lines = append(lines, span+": "+faults[i].what)
		i = j
	}
	if more := len(lines) - mostFaults; more > 0 {
		lines = append(lines[:mostFaults], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s: %d of %d judged are wrong, times from %s:\n  %s",
		what, len(faults), judged, begin.UTC().Format("15:04:05.000"), strings.Join(lines, "\n  "))
}

func since(begin, at time.Time) string {
	return fmt.Sprintf("%+.3fs", at.Sub(begin).Seconds())
}

// floor returns ErrTooFew where judged is below least.
func floor(what string, judged, least int) error {
	if least < 1 || judged < least {
		return fmt.Errorf("%s: %w: %d, want at least %d", what, ErrTooFew, judged, max(least, 1))
	}
	return nil
}

// reports selects the reports that were due in a window; of some paths, or of all where none is named.
func reports(events []history.Event, w history.Window, paths ...string) (out []*history.Event) {
	for i := range events {
		e := &events[i]
		if e.Kind == history.Report && w.Has(e.At) && (len(paths) == 0 || slices.Contains(paths, e.Path)) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b *history.Event) int { return a.At.Compare(b.At) })
	return out
}

func failed(e *history.Event) string {
	text := cmp.Or(e.Text, "no text")
	if len(text) > 160 {
		text = text[:160] + "…"
	}
	return fmt.Sprintf("%s failed, %s: %s", e.Path, e.Class, text)
}
