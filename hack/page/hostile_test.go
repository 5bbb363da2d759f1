package page_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"quotes/src/aggregator"
	"quotes/src/wire"
)

const script = `<img src=x onerror=faults.push('ran')><script>faults.push('ran')</script>`

// hostile is a core, broker and shard in one whose every word is markup.
func hostile(c *wire.Conn, f wire.Frame) {
	quote := func(symbol string) []byte {
		return fmt.Appendf(nil, `{"symbol":%q,"price":%q,"bid":%[2]q,"ask":%[2]q,"timestamp":%[2]q,"received":%[2]q,"quality":{"state":"live","reason":%[2]q}}`, symbol, script)
	}
	switch f.Type {
	case wire.TypeReqStatus:
		_ = c.Reply(f, wire.Frame{Type: wire.TypeRespStatus, Payload: fmt.Appendf(nil, `{"process":%q,"version":%[1]q,"subscribers":[{"addr":%[1]q,"topics":1}],`+
			`"peers":[{"name":%[1]q,"addr":%[1]q,"state":%[1]q}],`+
			`"breakers":[{"name":"exchange","state":%[1]q,"transitions":[{"breaker":"exchange","from":%[1]q,"to":%[1]q,"rule":%[1]q,"at":"2026-01-01T00:00:00.000000Z"}]}]}`, script)})
	case wire.TypeSubscribe:
		c.Hold()
		_ = c.Send(wire.Frame{Type: wire.TypePublish, Topic: "quotes.A", Epoch: 1, Seq: 1, Payload: quote("A")})
		_ = c.Send(wire.Frame{Type: wire.TypePublish, Topic: "quotes." + script, Epoch: 1, Seq: 1, Payload: quote(script)})
		_ = c.Send(wire.Make(wire.TypeHeartbeat, wire.Heartbeat{Source: "ok"}))
	default:
		_ = c.Fail(f, wire.Errorf(wire.Unavailable, "%s", script))
	}
}

// Whatever our peers say is shown as text: nothing of it becomes markup or runs.
func TestWordsOfOthersNeverBecomeMarkup(t *testing.T) {
	b := open(t)
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: hostile, Drain: time.Millisecond})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	a, err := aggregator.New(aggregator.Config{Listen: "127.0.0.1:0", Core: addr, Broker: addr, Shards: "shard-0=" + addr + ",shard-1=" + addr})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(ctx, ln) }()
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			require.NoError(t, <-ended)
		}
	})
	b.visit("http://" + a.Addr() + "/")
	b.until("the price as text", `document.querySelector('.quote .price')?.innerText.includes('<img src=x') === true`)
	b.until("the version as text", `document.getElementById('processes').innerText.includes('<script>')`)
	b.until("the subscriber as text", `document.getElementById('subscribers').innerText.includes('<img')`)
	b.until("the transition as text", `document.getElementById('timeline').innerText.includes('<img')`)
	shown, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](`document.querySelectorAll('img, script:not([src])').length`))
	require.NoError(t, err)
	require.Zero(t, shown)
	faults, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`faults`))
	require.NoError(t, err)
	require.Empty(t, faults)
}
