package core

import (
	"context"
	"errors"
	"net/http"
	"time"

	"quotes/src/breaker"
	"quotes/src/quote"
	"quotes/src/wire"
)

// onFrame answers the data port's requests: current quotes and status, all from memory.
func (c *Core) onFrame(conn *wire.Conn, f wire.Frame) {
	switch f.Type {
	case wire.TypeReqQuote:
		if err := c.sendQuotes(conn, f); err != nil {
			_ = conn.Fail(f, err)
		}
	case wire.TypeReqStatus:
		_ = conn.Reply(f, c.status().Frame())
	case wire.TypeHeartbeat:
	default:
		_ = conn.Fail(f, wire.Errorf(wire.BadRequest, "core answers REQ_QUOTE and REQ_STATUS, not %.40q", f.Type))
	}
}

// quotesPerFrame keeps RESP_QUOTE far below a frame's limit.
const quotesPerFrame = 1000

// sendQuotes answers REQ_QUOTE: one Quote, or arrays in as many frames as they need.
func (c *Core) sendQuotes(conn *wire.Conn, f wire.Frame) error {
	book := c.book.Load()
	if book == nil {
		return wire.Errorf(wire.Unavailable, "core is starting: ask again in a second")
	}
	var req wire.ReqQuote
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return err
		}
	}
	ask, single := req.Symbols, len(req.Symbols) == 0
	if single && f.Topic != "" {
		ask = []string{f.Topic}
	}
	quotes, err := book.quotes(ask, time.Now())
	if err != nil {
		return err
	}
	if single {
		conn.Queue(f, wire.Frame{Type: wire.TypeRespQuote, Payload: quotes[0].AppendJSON(nil)})
		return nil
	}
	for {
		n := min(len(quotes), quotesPerFrame)
		reply := wire.Frame{Type: wire.TypeRespQuote, Payload: array(quotes[:n]), More: n < len(quotes)}
		if err := conn.Reply(f, reply); err != nil || !reply.More {
			return err
		}
		quotes = quotes[n:]
	}
}

func array(quotes []quote.Quote) []byte {
	out := []byte{'['}
	for i := range quotes {
		if i > 0 {
			out = append(out, ',')
		}
		out = quotes[i].AppendJSON(out)
	}
	return append(out, ']')
}

// status says what core knows of its peers, its breakers and of what is durable.
func (c *Core) status() wire.Status {
	s := wire.Status{Process: "core", Version: c.cfg.Version, Since: quote.TimeOf(c.since), Epoch: c.epoch.Load()}
	for _, b := range c.breakers {
		s.Breakers = append(s.Breakers, wire.BreakerStatusOf(b.Snapshot()))
	}
	if book := c.book.Load(); book != nil {
		s.Peers = append(c.peers.list(), wire.Peer{Name: "external", Addr: c.cfg.External, State: upDown(book.connected())})
		s.Durable, s.DurableOne = book.place.durable(book.epoch), book.place.onOne()
	}
	return s
}

// Handle adds the breakers to the admin listener, as [breaker.Admin] says.
func (c *Core) Handle(mux interface{ Handle(string, http.Handler) }) {
	breaker.Admin(c.breakers).Handle(mux)
}

// serve runs the data port.
func (c *Core) serve(ctx context.Context) error {
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: c.onFrame, Log: c.cfg.Log})
	if err != nil {
		return err
	}
	return srv.Serve(ctx, c.ln)
}

// Ready says whether core can answer for itself: it has an epoch. It says nothing of the exchange, the broker or the shards.
func (c *Core) Ready() error {
	if c.book.Load() == nil {
		return errors.New("no epoch yet: asking the broker and the shards for the highest they know")
	}
	return nil
}
