package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the processes, too: "fake DATA ADMIN MODE" behaves as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "fake" {
		os.Exit(fake(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(m.Run())
}

// What a fake process does.
const (
	good     = "good"
	dying    = "dying"    // ends at once, with some words
	sick     = "sick"     // never ready
	stubborn = "stubborn" // deaf to SIGTERM
	short    = "short"    // ready, and ends by itself when asked for /end
)

func fake(data, admin, mode string) int {
	for i := range 20 {
		fmt.Fprintf(os.Stderr, "line %d of %s\n", i, mode)
	}
	if mode == dying {
		fmt.Fprintln(os.Stderr, "no such file: x.capture")
		return 3
	}
	term := make(chan os.Signal, 1)
	if mode == stubborn {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(term, syscall.SIGTERM)
	}
	ln, err := net.Listen("tcp", data)
	if err != nil {
		return 1
	}
	defer ln.Close()
	bye := make(chan struct{}, 1)
	go func() {
		_ = http.ListenAndServe(admin, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch {
			case req.URL.Path == "/end":
				bye <- struct{}{}
			case mode == sick:
				http.Error(w, "no epoch yet", http.StatusServiceUnavailable)
			}
		}))
	}()
	select {
	case <-term:
		fmt.Fprintln(os.Stderr, "leaving")
	case <-bye:
	case <-time.After(5 * time.Minute): // the test that should have ended it has died
	}
	return 0
}

// rig is a runner of fakes, one a mode, on free ports; its processes are gone when the test ends.
func rig(t *testing.T, modes ...string) (*runner, *output) {
	t.Helper()
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each process under the race detector takes a second to end
	out := &output{}
	r := &runner{dir: filepath.Join(t.TempDir(), "run"), stdout: out, readyWait: time.Minute, leaveWait: time.Minute}
	exe, err := os.Executable()
	require.NoError(t, err)
	for i, mode := range modes {
		p := process{name: fmt.Sprintf("p%d", i), exe: exe, data: freeAddr(t), admin: freeAddr(t)}
		p.args = []string{"fake", p.data, p.admin, mode}
		r.all = append(r.all, p)
	}
	t.Cleanup(func() {
		r.leaveWait = 5 * time.Second
		require.NoError(t, r.down())
	})
	return r, out
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// requireGone fails where a process runs, holds a port or has a pid file.
func requireGone(t *testing.T, r *runner) {
	t.Helper()
	running, _, err := r.look()
	require.NoError(t, err)
	require.Empty(t, running)
	require.NoError(t, portsFree(r.all))
	left, err := filepath.Glob(filepath.Join(r.dir, "*.pid"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// pidOf reads the pid file of a process that runs.
func pidOf(t *testing.T, r *runner, p process) int {
	t.Helper()
	running, err := alive(r.pidFile(p))
	require.NoError(t, err)
	require.True(t, running, p.name)
	f, err := os.Open(r.pidFile(p))
	require.NoError(t, err)
	defer f.Close()
	pid, err := readPid(f)
	require.NoError(t, err)
	return pid
}

// output is what the runner said.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
