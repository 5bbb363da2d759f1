package judge

import (
	"fmt"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Contiguous fails where a subscriber's view does not add up: a seq that neither came nor was told as skipped or lost, one
// that came twice, a position that goes back, a prev that is not what came before, or anything else that breaks the protocol.
// It reads the whole history, over reconnects, as the subscriber resumes from its positions; what is wrong counts within the
// window, and so does least.
func Contiguous(events []history.Event, w history.Window, least int) error {
	const what = "seqs are contiguous"
	last := map[quote.Topic]quote.Point{}
	judged := 0
	var faults []fault
	for i := range events {
		e := &events[i]
		var wrong string
		switch e.Kind {
		case history.Frame:
			if w.Has(e.At) {
				judged++
			}
			before, known := last[e.Topic]
			wrong = follows(e, before, known)
			last[e.Topic] = e.Point()
		case history.Lost:
			if before, known := last[e.Topic]; known && e.Gap.After.Compare(before) > 0 {
				wrong = fmt.Sprintf("%s: told that all behind %v is lost, had come to %v", e.Topic, e.Gap.After, before)
			}
			last[e.Topic] = quote.Point{Epoch: e.Gap.Before.Epoch, Seq: e.Gap.Before.Seq - 1}
		case history.Fault:
			wrong = e.Text
		}
		if wrong != "" && w.Has(e.At) {
			faults = append(faults, fault{e.At, wrong})
		}
	}
	if err := floor(what, judged, least); err != nil {
		return err
	}
	return verdict(what, w.From, judged, faults)
}

// follows says what is wrong with a frame behind the one before, nothing where it is right.
func follows(e *history.Event, before quote.Point, known bool) string {
	p := e.Point()
	switch {
	case e.Snapshot && known && p.Compare(before) < 0:
		return fmt.Sprintf("%s: snapshot goes back from %v to %v", e.Topic, before, p)
	case e.Snapshot:
	case e.Prev == nil:
		return fmt.Sprintf("%s: %v without prev", e.Topic, p)
	case !known:
	case p.Epoch < before.Epoch:
		return fmt.Sprintf("%s: epoch goes back from %v to %v", e.Topic, before, p)
	case p.Epoch == before.Epoch && (p.Seq != before.Seq+1+e.Skipped || *e.Prev != before.Seq):
		return fmt.Sprintf("%s: %v behind %v, prev %d, skipped %d", e.Topic, p, before, *e.Prev, e.Skipped)
	case p.Epoch > before.Epoch && (p.Seq != 1 || *e.Prev != before.Seq || e.PrevEpoch != before.Epoch):
		return fmt.Sprintf("%s: %v behind %v, prev %d of epoch %d", e.Topic, p, before, *e.Prev, e.PrevEpoch)
	}
	return ""
}

// Gaps returns what the subscriber was told is lost, in a window.
func Gaps(events []history.Event, w history.Window) (out []wire.Lost) {
	for i := range events {
		if e := &events[i]; e.Kind == history.Lost && w.Has(e.At) {
			out = append(out, *e.Gap)
		}
	}
	return out
}

// Kept fails where a record that core called durable is not held: of each topic all seqs of its epoch up to One, but what
// core itself had given up. least is how many records must have been promised, over all topics.
func Kept(promised map[quote.Topic]wire.Durable, held map[quote.Topic]*quote.Seqs, least int) error {
	const what = "nothing durable is lost"
	var sum uint64
	var wrong []string
	for topic, d := range promised {
		sum += d.One
		if d.One == 0 {
			continue
		}
		have := quote.Seqs{}
		if set := held[topic]; set != nil {
			for _, s := range set.Spans() {
				have.Add(s.First, s.Last)
			}
		}
		for _, l := range d.Lost {
			have.Add(l.First, l.Last)
		}
		if missing := have.Missing(1, d.One); len(missing) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s epoch %d: %v of 1 to %d", topic, d.Epoch, missing, d.One))
		}
	}
	if err := floor(what, int(min(sum, 1<<31)), least); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s: not held any more: %v", what, wrong)
	}
	return nil
}
