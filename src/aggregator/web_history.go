package aggregator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"quotes/src/quote"
	"quotes/src/wire"
)

// cursor is the last record of a page: the next one begins behind it.
type cursor struct {
	at    quote.Time
	topic quote.Topic
	point quote.Point
}

var errCursor = errors.New("want what next was in an answer")

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s %d %d", int64(c.at), c.topic, c.point.Epoch, c.point.Seq))
}

func parseCursor(s string) (*cursor, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) > 256 {
		return nil, errCursor
	}
	var c cursor
	var at int64
	var topic string
	if n, err := fmt.Sscanf(string(raw), "%d %s %d %d", &at, &topic, &c.point.Epoch, &c.point.Seq); n != 4 || err != nil {
		return nil, errCursor
	}
	c.at = quote.Time(at)
	if c.topic, err = quote.ParseTopic(topic); err != nil || at <= 0 || at > 1<<60 {
		return nil, errCursor
	}
	return &c, nil
}

// histPage is the answer of /v1/history.
type histPage struct {
	Records  []wire.Record  `json:"records"`
	More     bool           `json:"more"`
	Next     string         `json:"next,omitempty"` // cursor of the page behind, where there is more
	Coverage float64        `json:"coverage"`
	Missing  []wire.Missing `json:"missing,omitempty"`
}

// history serves GET /v1/history, a page.
func (w *web) history(rw http.ResponseWriter, r *http.Request) {
	q, err := parseHistory(r.URL.RawQuery)
	if err != nil {
		problem(rw, status(err), err)
		return
	}
	ctx, cancel := w.within(r, q.budget)
	defer cancel()
	p, err := w.agg.pageOf(ctx, &q)
	if err != nil {
		problem(rw, status(err), err)
		return
	}
	body, err := json.Marshal(p)
	if err == nil && p.Coverage < q.minCoverage {
		e := wire.Errorf(wire.LowCoverage, "coverage is %.3f, asked for %.3f: the report names what is missing", p.Coverage, q.minCoverage)
		e.Report = body
		err = e
	}
	if err != nil {
		w.refuse(rw, r, err)
		return
	}
	if p.Coverage < 1 {
		w.write(rw, r, body, fresh)
		return
	}
	w.write(rw, r, body, tagged)
}

// pageOf gathers one page. Records of one timestamp may stand on both sides of its end: behind a cursor it asks from that
// timestamp on and leaves out what came before; for as long as only such records come it asks for more of them.
func (a *Aggregator) pageOf(ctx context.Context, q *histQuery) (*histPage, error) {
	limit, err := checkHist(&q.ReqHist)
	if err != nil {
		return nil, err
	}
	m := merger{desc: q.Order == wire.Desc}
	req := q.ReqHist
	if c := q.cursor; c != nil {
		switch {
		case m.desc && (req.To.IsZero() || c.at < req.To):
			req.To = c.at + 1
		case !m.desc && c.at > req.From:
			req.From = c.at
		}
	}
	for ask := limit; ; ask = min(4*ask, histMost) {
		req.Limit = &ask
		resp, err := a.history(ctx, &req, ask)
		if err != nil {
			return nil, err
		}
		if err := a.strangers(ctx, &q.ReqHist, resp); err != nil {
			return nil, err
		}
		records := behind(m, q.cursor, resp.Records)
		if len(records) == 0 && resp.More && ask < histMost {
			continue
		}
		if len(records) == 0 && resp.More {
			return nil, wire.Errorf(wire.TooLarge, "%d records of one time, and more: name one symbol, or another range", len(resp.Records))
		}
		records, resp.More = cut(records, resp.More, answerBytes)
		p := &histPage{Records: records, More: resp.More, Coverage: *resp.Coverage, Missing: resp.Missing}
		if len(records) > limit {
			p.Records, p.More = records[:limit], true
		}
		if n := len(p.Records); p.More && n > 0 {
			last := p.Records[n-1]
			p.Next = cursor{stamp(last.Payload), last.Topic, last.Point()}.String()
		}
		return p, nil
	}
}

// behind returns the records that follow the cursor.
func behind(m merger, c *cursor, records []wire.Record) []wire.Record {
	if c == nil {
		return records
	}
	last := keyed{wire.Record{Topic: c.topic, Epoch: c.point.Epoch, Seq: c.point.Seq}, c.at}
	i := slices.IndexFunc(records, func(r wire.Record) bool { return m.compare(keyed{r, stamp(r.Payload)}, last) > 0 })
	if i < 0 {
		return records[:0]
	}
	return records[i:]
}

// strangers returns an error that names the symbols of which nobody knows anything, though all was asked.
func (a *Aggregator) strangers(ctx context.Context, req *wire.ReqHist, resp *wire.RespHist) error {
	strange := a.unheard(req.Symbols, resp)
	if len(strange) > 0 && len(req.Kinds) == 1 { // of the other kind there may be something
		none := 0
		var err error
		if resp, err = a.history(ctx, &wire.ReqHist{Symbols: strange, Limit: &none}, none); err != nil {
			return err
		}
		strange = a.unheard(strange, resp)
	}
	if len(strange) == 0 {
		return nil
	}
	names := make([]string, len(strange))
	for i, s := range strange {
		names[i] = string(s)
	}
	return wire.Errorf(wire.BadSymbol, "unknown symbol %.200s: there is no history and no quote of it", strings.Join(names, ", "))
}

// unheard returns the symbols that neither the broker nor a complete answer knows.
func (a *Aggregator) unheard(symbols []quote.Symbol, resp *wire.RespHist) (out []quote.Symbol) {
	if *resp.Coverage < 1 {
		return nil
	}
	known := map[quote.Symbol]bool{}
	for topic := range resp.Ranges {
		known[topic.Symbol()] = true
	}
	for _, s := range symbols {
		if !known[s] && !a.hub.knows(s) {
			out = append(out, s)
		}
	}
	return out
}
