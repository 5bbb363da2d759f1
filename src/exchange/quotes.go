package exchange

import (
	"context"

	"quotes/src/quote"
	"quotes/src/wire"
)

// quotesPerFrame keeps RESP_QUOTE far below a frame's limit.
const quotesPerFrame = 1000

// quotes answers REQ_QUOTE: one Quote, or arrays in as many frames as they need. All but the last go through send.
func (e *External) quotes(ctx context.Context, f wire.Frame, send func(wire.Frame) error) (wire.Frame, error) {
	var req wire.ReqQuote
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return wire.Frame{}, err
		}
	}
	ask, single := req.Symbols, len(req.Symbols) == 0
	if single && f.Topic != "" {
		ask = []string{f.Topic}
	}
	quotes, err := e.source.Quotes(ctx, ask)
	if err != nil {
		return wire.Frame{}, err
	}
	if single {
		return wire.Frame{Type: wire.TypeRespQuote, Payload: quotes[0].AppendJSON(nil)}, nil
	}
	for len(quotes) > quotesPerFrame {
		part := wire.Frame{Type: wire.TypeRespQuote, Payload: array(quotes[:quotesPerFrame])}
		if err := send(part); err != nil {
			return wire.Frame{}, err
		}
		quotes = quotes[quotesPerFrame:]
	}
	return wire.Frame{Type: wire.TypeRespQuote, Payload: array(quotes)}, nil
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
