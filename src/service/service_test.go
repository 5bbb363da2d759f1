package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// start runs a process until the test ends, and returns its admin address.
func start(t *testing.T, run func(context.Context, *Env) error) string {
	t.Helper()
	addr := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		execute(ctx, Spec{Name: "p", Run: func(ctx context.Context, e *Env) error {
			addr <- e.admin.addr()
			return run(ctx, e)
		}}, nil, "--admin", "127.0.0.1:0")
	}()
	return <-addr
}

func execute(ctx context.Context, s Spec, env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = run(ctx, s, args, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, &out, &errOut)
	return code, out.String(), errOut.String()
}

func get(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestAdminListener(t *testing.T) {
	var sick atomic.Bool
	posted := make(chan struct{}, 1)
	up := make(chan struct{})
	url := "http://" + start(t, func(ctx context.Context, e *Env) error {
		e.Handle("POST /-/cut", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posted <- struct{}{} }))
		e.Ready(func() error {
			if sick.Load() {
				return errors.New("no epoch yet")
			}
			return nil
		})
		close(up)
		<-ctx.Done()
		return nil
	})
	<-up
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "ok", "/metrics": "quotes_build_info", "/debug/pprof/": "goroutine"} {
		code, body := get(t, http.MethodGet, url+path)
		require.Equal(t, http.StatusOK, code, path)
		require.Contains(t, body, want, path)
	}
	sick.Store(true)
	code, body := get(t, http.MethodGet, url+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "no epoch yet")
	code, _ = get(t, http.MethodGet, url+"/livez")
	require.Equal(t, http.StatusOK, code, "alive, though not ready")
	code, _ = get(t, http.MethodGet, url+"/-/cut")
	require.Equal(t, http.StatusMethodNotAllowed, code, "what changes something is a POST")
	_, _ = get(t, http.MethodPost, url+"/-/cut")
	<-posted
	code, _ = get(t, http.MethodPost, url+"/-/unknown")
	require.Equal(t, http.StatusNotFound, code)
	code, _ = get(t, http.MethodPost, url+"/metrics")
	require.Equal(t, http.StatusMethodNotAllowed, code)
}

func TestPagesInBrowsersChangeNothing(t *testing.T) {
	up := make(chan struct{})
	url := "http://" + start(t, func(ctx context.Context, e *Env) error {
		e.Handle("POST /-/cut", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("cut by a page") }))
		close(up)
		<-ctx.Done()
		return nil
	})
	<-up
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/-/cut", nil)
	require.NoError(t, err)
	req.Header.Set("Origin", "https://example.com")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestPatternsOfAdminHandlers(t *testing.T) {
	e := &Env{admin: &admin{mux: http.NewServeMux()}}
	for _, wrong := range []string{"/-/cut", "GET /-/cut", "POST /cut", "PUT /-/cut"} {
		require.Panics(t, func() { e.Handle(wrong, http.NotFoundHandler()) }, wrong)
	}
	require.NotPanics(t, func() { e.Handle("GET /slots", http.NotFoundHandler()) })
}

func TestNotReadyBeforeItSaysSo(t *testing.T) {
	url := "http://" + start(t, func(ctx context.Context, _ *Env) error { <-ctx.Done(); return nil })
	code, body := get(t, http.MethodGet, url+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "starting")
}

func TestFlagsFallBackToTheEnvironment(t *testing.T) {
	var got string
	var n int
	var ratio float64
	spec := Spec{Name: "p", Flags: func(fs *pflag.FlagSet) {
		fs.StringVar(&got, "some-name", "default", "")
		fs.IntVar(&n, "count", 1, "")
		fs.Float64Var(&ratio, "ratio", 1, "")
	}, Run: func(context.Context, *Env) error { return nil }}
	code, _, _ := execute(t.Context(), spec, map[string]string{"QUOTES_SOME_NAME": "env", "QUOTES_ADMIN": "127.0.0.1:0"})
	require.Equal(t, exitOK, code)
	require.Equal(t, "env", got)
	code, _, _ = execute(t.Context(), spec, map[string]string{"QUOTES_SOME_NAME": "env"}, "--some-name=flag", "--admin=127.0.0.1:0")
	require.Equal(t, exitOK, code)
	require.Equal(t, "flag", got)
	code, _, stderr := execute(t.Context(), spec, map[string]string{"QUOTES_COUNT": "many", "QUOTES_RATIO": "half"})
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "QUOTES_COUNT")
	require.Contains(t, stderr, "QUOTES_RATIO")
	require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	code, _, _ = execute(t.Context(), spec, map[string]string{"QUOTES_COUNT": "many"}, "--count=3", "--admin=127.0.0.1:0")
	require.Equal(t, exitOK, code, "the flag wins")
}

func TestExitCodes(t *testing.T) {
	fail := Spec{Name: "p", Run: func(context.Context, *Env) error { return errors.New("the disk is gone") }}
	code, _, stderr := execute(t.Context(), fail, nil, "--admin=127.0.0.1:0")
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "p: the disk is gone\n")
	fail.Run = func(context.Context, *Env) error { return errors.Join(errors.New("one"), errors.New("two")) }
	_, _, stderr = execute(t.Context(), fail, nil, "--admin=127.0.0.1:0")
	require.Contains(t, stderr, "p: one; two\n")
	for _, args := range [][]string{{"--nope"}, {"nope"}, {"--log-level=loud"}, {"--log-format=xml"}} {
		code, _, stderr = execute(t.Context(), fail, nil, args...)
		require.Equal(t, exitUsage, code, "%v", args)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	code, stdout, _ := execute(t.Context(), fail, nil, "--version")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "dev")
}

func TestAdminPortInUseIsOneLine(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	code, _, stderr := execute(t.Context(), Spec{Name: "p", Run: func(context.Context, *Env) error { return nil }}, nil, "--admin", ln.Addr().String())
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, ln.Addr().String())
	require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
}

func TestSubCommands(t *testing.T) {
	var ran string
	sub := func(name string) Spec {
		return Spec{Name: name, Run: func(context.Context, *Env) error { ran = name; return nil }}
	}
	spec := sub("external")
	spec.Sub = []Spec{sub("sim"), sub("replay")}
	for args, want := range map[string]string{"": "external", "replay": "replay"} {
		code, _, stderr := execute(t.Context(), spec, nil, append(strings.Fields(args), "--admin=127.0.0.1:0")...)
		require.Equal(t, exitOK, code, stderr)
		require.Equal(t, want, ran)
	}
}
