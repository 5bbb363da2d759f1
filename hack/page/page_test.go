package page_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// browser is one tab.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func open(t *testing.T) *browser {
	t.Helper()
	exe, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no Chromium here: install Debian's package chromium to test the page")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(exe), chromedp.NoSandbox, chromedp.WindowSize(1280, 1000))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	require.NoError(t, chromedp.Do(ctx)) // the browser lives as long as the context of the first call
	ctx, stop = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(stop)
	return &browser{t: t, ctx: ctx}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

// visit opens the page and notes from then on what goes wrong in it.
func (b *browser) visit(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url), chromedp.Evaluate[chromedp.Void](`window.faults = []; addEventListener('error', (e) => faults.push(e.message)); addEventListener('unhandledrejection', (e) => faults.push(String(e.reason)))`))
}

// until waits for an expression of the page to be true. The page's policy forbids eval, so the waiting is done here.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		require.NoError(b.t, err, what)
		if ok {
			return
		}
		if time.Now().After(deadline) {
			b.shot("failed")
			require.FailNow(b.t, "the page never showed: "+what, b.text())
		}
		select {
		case <-b.ctx.Done():
			require.NoError(b.t, b.ctx.Err(), what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *browser) text() string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	require.NoError(b.t, err)
	return text
}

func (b *browser) shot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	dir := filepath.Join(root, "out", "page")
	require.NoError(b.t, os.MkdirAll(dir, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

const (
	live      = `document.querySelectorAll('.quote').length === 4 && document.querySelectorAll('.quote[data-state="live"]').length === 4 && document.getElementById('banner').dataset.state === 'live'`
	allStale  = `document.querySelectorAll('.quote[data-state="stale"]').length === 4 && document.getElementById('banner').innerText`
	noScrollX = `document.documentElement.scrollWidth <= document.documentElement.clientWidth`
)

func TestThePageShowsAnOutageFromLiveToLive(t *testing.T) {
	b := open(t)
	s := start(t)
	url := "http://" + s.addr["aggregator"] + "/"
	b.visit(url)
	b.until("live", live)
	b.until("coverage", `document.getElementById('coverage').innerText === '100 %'`)
	b.until("processes", `document.querySelectorAll('#processes .pill[data-state="up"]').length === 7`)
	b.until("who is connected to whom", `document.querySelectorAll('#processes [data-process="core"] .peers [data-state="up"]').length >= 4`)
	b.until("breaker", `document.getElementById('breaker').innerText === 'closed'`)
	b.until("subscribers", `document.querySelectorAll('#subscribers tr').length >= 1`)
	b.until("sparklines", `document.querySelectorAll('.quote polyline').length === 4 && document.querySelector('.quote polyline').getAttribute('points') !== ''`)
	b.shot("live")

	s.stop("external")
	b.until("stale with the reason", allStale+`.includes('breaker_open')`)
	b.until("breaker open", `/open/.test(document.getElementById('breaker').innerText) && document.querySelectorAll('#timeline li').length >= 1`)
	b.until("age", `[...document.querySelectorAll('.quote small:last-child')].every((e) => /[1-9].* s old/.test(e.innerText))`)
	b.shot("stale")
	s.start("external")
	b.until("live again", live)
	b.until("closed again", `document.getElementById('breaker').innerText === 'closed' && document.querySelectorAll('#timeline li').length >= 3`)
	b.shot("live-again")

	s.stop("shard-1")
	b.until("a dead shard", `document.querySelector('#processes [data-process="shard-1"] .pill').innerText === 'down' && document.getElementById('coverage').innerText === '100 %'`)
	b.until("core has lost it", `document.querySelectorAll('#processes [data-process="core"] .peers [data-state="down"]').length === 1`)
	s.stop("shard-2")
	b.until("two dead shards", `parseFloat(document.getElementById('coverage').innerText) < 100`)
	b.shot("two-shards-down")
	s.stop("core")
	b.until("core lost", allStale+`.includes('core_lost')`)
	s.stop("broker")
	b.until("broker down", allStale+`.includes('broker_down')`)
	s.start("broker")
	b.until("a broker that knows nothing yet", allStale+`.includes('broker_recovering')`)
	s.stop("aggregator")
	b.until("no connection", allStale+`.includes('no_connection')`)
	b.until("what was known is of before", `document.getElementById('coverage').innerText === 'unknown' && document.getElementById('breaker').innerText === 'unknown' && document.querySelectorAll('#processes [data-state="up"]').length === 0`)
	b.shot("no-connection")

	faults, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`faults`))
	require.NoError(t, err)
	require.Empty(t, faults, "nothing went wrong in the page's script")
	asked, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`performance.getEntriesByType('resource').map((e) => e.name)`))
	require.NoError(t, err)
	require.NotEmpty(t, asked)
	for _, a := range asked {
		require.True(t, strings.HasPrefix(a, url), "it asks nobody else: %s", a)
	}
}

func TestThePageWorksByKeyboardOnAPhoneAndInTheDark(t *testing.T) {
	b := open(t)
	s := start(t)
	b.visit("http://" + s.addr["aggregator"] + "/")
	b.until("live", live)
	chosen := func(n int) string {
		return fmt.Sprintf(`document.querySelectorAll('.quote')[%d].getAttribute('aria-selected') === 'true'`, n)
	}
	b.do(chromedp.Focus(".quote[tabindex='0']"), chromedp.KeyEvent(kb.End), chromedp.KeyEvent(kb.Enter))
	b.until("End and Enter choose the last", chosen(3))
	b.do(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(" "))
	b.until("an arrow and space choose its neighbour", chosen(2))
	b.do(chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.Enter))
	b.until("Home chooses the first", chosen(0))
	b.until("a chart", `/prices/.test(document.getElementById('chart-text').innerText)`)

	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	b.until("a phone needs no sideways scrolling", noScrollX)
	b.shot("phone")
	ground := func(scheme string) string {
		b.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			return err
		}))
		colour, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`getComputedStyle(document.body).backgroundColor`))
		require.NoError(t, err)
		return colour
	}
	require.NotEqual(t, ground("light"), ground("dark"))
	b.shot("phone-dark")
}
