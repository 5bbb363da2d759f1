package prober

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
	"quotes/src/wire"
)

// The names of the paths, as the history has them.
const (
	TCPNew   = "tcp-new"   // a connection a request
	TCPKept  = "tcp-kept"  // one pipelined connection, dialled again when it ended
	HTTPNew  = "http-new"  // a connection a request
	HTTPKept = "http-kept" // connections that are kept alive
)

// trades is how many a report asks for.
const trades = 10

type answer = wire.Report

// failure is an error with its class.
type failure struct {
	class history.Class
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// classify says what kind of failure an error is.
func classify(err error) history.Class {
	var refused *wire.Error
	var failed *failure
	switch {
	case errors.As(err, &failed) && failed.class == history.Dial:
		return history.Dial
	case errors.Is(err, context.DeadlineExceeded):
		return history.Timeout
	case errors.As(err, &refused):
		return history.Class(refused.Code)
	case errors.As(err, &failed):
		return failed.class
	case errors.Is(err, wire.ErrDown):
		return history.NotReached
	}
	return history.Cut
}

func request(symbol quote.Symbol) wire.ReqReport {
	limit := trades
	return wire.ReqReport{Symbol: symbol, Limit: &limit}
}

type tcpNew struct{ addr string }

func (tcpNew) name() string        { return TCPNew }
func (tcpNew) run(context.Context) {}

func (p tcpNew) ask(ctx context.Context, symbol quote.Symbol) (got answer, err error) {
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: p.addr})
	if err != nil {
		return got, &failure{history.Dial, err}
	}
	defer s.Close()
	err = wire.Decoded(ctx, s, wire.TypeReqReport, request(symbol), &got)
	return got, err
}

type tcpKept struct{ client *wire.Client }

func newTCPKept(addr string) tcpKept {
	return tcpKept{wire.NewClient(wire.ClientConfig{Dial: wire.DialConfig{Addr: addr}, MaxBackoff: 250 * time.Millisecond})}
}

func (tcpKept) name() string              { return TCPKept }
func (p tcpKept) run(ctx context.Context) { _ = p.client.Run(ctx) }

func (p tcpKept) ask(ctx context.Context, symbol quote.Symbol) (got answer, err error) {
	err = wire.Decoded(ctx, p.client, wire.TypeReqReport, request(symbol), &got)
	return got, err
}

type web struct {
	addr   string
	kept   bool
	client *retryablehttp.Client
}

func newHTTP(addr string, kept bool) *web {
	c := retryablehttp.NewClient()
	c.RetryMax = 0 // a retry would hide what the probe is there to see
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.Logger = nil
	c.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: !kept, MaxIdleConnsPerHost: 4}}
	return &web{addr, kept, c}
}

func (p *web) name() string {
	if p.kept {
		return HTTPKept
	}
	return HTTPNew
}

func (p *web) run(ctx context.Context) {
	<-ctx.Done()
	p.client.HTTPClient.CloseIdleConnections()
}

func (p *web) ask(ctx context.Context, symbol quote.Symbol) (got answer, err error) {
	target := fmt.Sprintf("http://%s/v1/report?symbol=%s&limit=%d", p.addr, url.QueryEscape(string(symbol)), trades)
	if deadline, ok := ctx.Deadline(); ok { // as over TCP, where it crosses the wire by itself
		target += fmt.Sprintf("&budget_ms=%d", max(time.Until(deadline).Milliseconds(), 1))
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return got, &failure{history.BadAnswer, err}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return got, &failure{webClass(err), err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.DefaultMaxLine))
	if err != nil {
		return got, &failure{history.Cut, err}
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct {
			Detail string    `json:"detail"`
			Code   wire.Code `json:"code"`
		}
		if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
			return got, &failure{history.BadAnswer, fmt.Errorf("%s: %.100s", resp.Status, body)}
		}
		return got, wire.Errorf(problem.Code, "%s", problem.Detail)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return got, &failure{history.BadAnswer, err}
	}
	return got, nil
}

// webClass tells a connection that could not be had from one that ended.
func webClass(err error) history.Class {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return history.Dial
	}
	return history.Cut
}
