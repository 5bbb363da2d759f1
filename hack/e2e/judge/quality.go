package judge

import (
	"fmt"
	"slices"
	"time"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
)

// Turn is what should have become of all prices at a moment.
type Turn struct {
	Since   time.Time      // when it happened
	Bound   time.Duration  // from then on until everybody must see it
	Until   time.Time      // to where it must hold
	State   quote.State    // what prices must be
	Reasons []quote.Reason // the reasons allowed; none for a state that has none
	Feed    bool           // whether the feed must tell it too: a frame of each symbol within Bound
	Symbols []quote.Symbol // all of them
	Least   int            // reports to judge by, of all symbols together
}

// Turned fails where a report that was due after the bound, and up to the end, has no answer, no price or one of another
// quality; where a stale one does not say its age; and where the feed did not tell in time.
func Turned(events []history.Event, t Turn) error {
	what := fmt.Sprintf("prices are %s %v within %v", t.State, t.Reasons, t.Bound)
	due := t.Since.Add(t.Bound)
	judged := reports(events, history.Window{From: due, To: t.Until})
	if err := floor(what, len(judged), t.Least); err != nil {
		return err
	}
	seen := map[quote.Symbol]bool{}
	var faults []fault
	for _, e := range judged {
		seen[e.Symbol] = true
		if wrong := t.wrong(e); wrong != "" {
			faults = append(faults, fault{e.At, wrong})
		}
	}
	for _, s := range t.Symbols {
		if !seen[s] {
			return fmt.Errorf("%s: %w: none of %s", what, ErrTooFew, s)
		}
	}
	if t.Feed {
		faults = append(faults, t.feed(events, due)...)
	}
	return verdict(what, t.Since, len(judged), faults)
}

// wrong says what is wrong with a report, nothing where it is right.
func (t *Turn) wrong(e *history.Event) string {
	switch {
	case e.Class != "":
		return failed(e)
	case e.State == "":
		return fmt.Sprintf("no price of %s", e.Symbol)
	case !t.right(e):
		return fmt.Sprintf("%s says %s is %s (%s)", e.Path, e.Symbol, e.State, e.Reason)
	case e.State != quote.Live && e.AgeMS == nil:
		return fmt.Sprintf("%s does not say how old %s is", e.Path, e.Symbol)
	}
	return ""
}

func (t *Turn) right(e *history.Event) bool {
	return e.State == t.State && (e.Reason == "" && len(t.Reasons) == 0 || slices.Contains(t.Reasons, e.Reason))
}

// feed checks that the subscriber heard it of each symbol in time, or had heard it before, and nothing else from then to the
// end.
func (t *Turn) feed(events []history.Event, due time.Time) (faults []fault) {
	told := map[quote.Symbol]time.Time{} // since when it has been told nothing else
	for i := range events {
		e := &events[i]
		if e.Kind != history.Frame || e.State == "" || !e.At.Before(t.Until) {
			continue
		}
		_, known := told[e.Symbol]
		switch {
		case t.right(e) && !known:
			told[e.Symbol] = e.At
		case !t.right(e):
			delete(told, e.Symbol)
			if e.At.After(due) {
				faults = append(faults, fault{e.At, fmt.Sprintf("the feed says %s is %s (%s)", e.Symbol, e.State, e.Reason)})
			}
		}
	}
	for _, s := range t.Symbols {
		if at, known := told[s]; !known {
			faults = append(faults, fault{due, fmt.Sprintf("the feed never says that %s is %s", s, t.State)})
		} else if at.After(due) {
			faults = append(faults, fault{at, fmt.Sprintf("the feed says late that %s is %s", s, t.State)})
		}
	}
	return faults
}

// Ordered fails where, in the window, the feed calls a price live right after one that was stale for another reason than
// silence: the session was cut, and recovering must stand between. Each stale one must say why, and only it. What came before
// the window is read for what it leaves behind; least is of the frames in it.
func Ordered(events []history.Event, w history.Window, least int) error {
	const what = "prices recover before they are live"
	before := map[quote.Symbol]quote.Quality{}
	judged := 0
	var faults []fault
	for i := range events {
		e := &events[i]
		if e.Kind != history.Frame || e.State == "" {
			continue
		}
		was := before[e.Symbol]
		before[e.Symbol] = quote.Quality{State: e.State, Reason: e.Reason}
		if !w.Has(e.At) {
			continue
		}
		judged++
		if was.State == quote.Stale && was.Reason != quote.FeedSilent && e.State == quote.Live && !e.Snapshot {
			faults = append(faults, fault{e.At, fmt.Sprintf("%s is live right after stale (%s)", e.Symbol, was.Reason)})
		}
		if (e.State == quote.Stale) != (e.Reason != "") {
			faults = append(faults, fault{e.At, fmt.Sprintf("%s is %s, reason %q", e.Symbol, e.State, e.Reason)})
		}
	}
	if err := floor(what, judged, least); err != nil {
		return err
	}
	return verdict(what, w.From, judged, faults)
}

// Source fails where the subscriber was not told, within the bound from since, what has become of core: a heartbeat's source.
func Source(events []history.Event, since time.Time, bound time.Duration, source string) error {
	what := fmt.Sprintf("subscribers are told that core is %s within %v", source, bound)
	heartbeats := 0
	for i := range events {
		e := &events[i]
		if e.Kind != history.Heartbeat || e.At.Before(since) {
			continue
		}
		heartbeats++
		if e.Source != source {
			continue
		}
		if e.At.After(since.Add(bound)) {
			return verdict(what, since, heartbeats, []fault{{e.At, "told late"}})
		}
		return nil
	}
	if err := floor(what, heartbeats, 1); err != nil {
		return err
	}
	return fmt.Errorf("%s: %d heartbeats, and none says so", what, heartbeats)
}
