package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Row is one figure beside its peer's, or beside a bound.
type Row struct {
	Name   string
	Ours   float64
	Theirs float64 // 0: there is no peer, the goal is a bound of Ours
	Peer   string  // with its version
	Unit   string
	Goal   string  // "<=0.60", ">=2.0", or "" for none
	Ratio  float64 // set by the caller where it is neither Ours/Theirs nor Ours; else 0
	Spread float64 // of ours: (max-min)/median; 0 where there was one round
}

// ratio is what the goal speaks of.
func (r Row) ratio() float64 {
	switch {
	case r.Ratio != 0:
		return r.Ratio
	case r.Theirs != 0:
		return r.Ours / r.Theirs
	}
	return r.Ours
}

// met tells whether the goal holds; a row without a goal has none to miss.
func (r Row) met() (bool, error) {
	if r.Goal == "" {
		return true, nil
	}
	op, number := r.Goal[:min(2, len(r.Goal))], r.Goal[min(2, len(r.Goal)):]
	bound, err := strconv.ParseFloat(number, 64)
	if err != nil || op != "<=" && op != ">=" {
		return false, fmt.Errorf("row %s: goal %q: want <=NUMBER or >=NUMBER", r.Name, r.Goal)
	}
	if op == "<=" {
		return r.ratio() <= bound, nil
	}
	return r.ratio() >= bound, nil
}

// result is a row in the RESULT line.
type result struct {
	Name   string   `json:"name"`
	Ours   float64  `json:"ours"`
	Theirs *float64 `json:"theirs,omitempty"`
	Peer   string   `json:"peer,omitempty"`
	Unit   string   `json:"unit"`
	Ratio  float64  `json:"ratio"`
	Goal   string   `json:"goal,omitempty"`
	Met    *bool    `json:"met,omitempty"`
	Spread float64  `json:"spread,omitempty"`
}

// Print writes the table and, last, the RESULT line. An error names a row whose goal or figure can't be read, or is w's.
func Print(w io.Writer, bench string, rows []Row) error {
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ROW\tOURS\tTHEIRS\tUNIT\tSPREAD\tRATIO\tGOAL\tMET\tPEER")
	results := make([]result, 0, len(rows))
	for _, r := range rows {
		met, err := r.met()
		if err != nil {
			return err
		}
		if v := r.Ours + r.Theirs + r.ratio(); math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("row %s: ours %v, theirs %v, ratio %v: not measured", r.Name, r.Ours, r.Theirs, r.ratio())
		}
		out := result{Name: r.Name, Ours: round(r.Ours), Peer: r.Peer, Unit: r.Unit, Ratio: round(r.ratio()), Goal: r.Goal, Spread: round(r.Spread)}
		theirs, verdict := "", ""
		if r.Theirs != 0 {
			v := round(r.Theirs)
			out.Theirs, theirs = &v, short(r.Theirs)
		}
		if r.Goal != "" {
			out.Met, verdict = &met, map[bool]string{true: "yes", false: "no"}[met]
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.0f %%\t%s\t%s\t%s\t%s\n",
			r.Name, short(r.Ours), theirs, r.Unit, 100*r.Spread, short(r.ratio()), r.Goal, verdict, r.Peer)
		results = append(results, out)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s\nRESULT ", table.String()); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // goals begin with < and >
	return enc.Encode(struct {
		Bench string   `json:"bench"`
		Rows  []result `json:"rows"`
	}{bench, results})
}

// round keeps four digits that mean something.
func round(v float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return f
}

func short(v float64) string { return strconv.FormatFloat(round(v), 'f', -1, 64) }
