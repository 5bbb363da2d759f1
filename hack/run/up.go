package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runner starts and ends the processes.
type runner struct {
	dir    string // of pid files and logs
	bin    string // of the binaries
	all    []process
	stdout io.Writer
}

const (
	readyWait = 30 * time.Second
	tailLines = 10
)

func (r *runner) file(p process, ext string) string { return filepath.Join(r.dir, p.name+"."+ext) }

// up starts all in the background and returns when every one is ready. After an error nothing of it runs.
func (r *runner) up(ctx context.Context) error {
	if err := r.portsFree(); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	err := r.startAll(ctx)
	if err != nil {
		return errors.Join(err, r.down())
	}
	fmt.Fprint(r.stdout, next)
	return nil
}

// next is what a new user does then.
const next = `All seven processes are ready. Now try:

  make test-sub                                     live quotes of PETR4 (Ctrl-C ends it)
  make test-aggregator                              a report of PETR4
  bin/quotectl status                               who is up, breakers, durability
  timeout 5 nc 127.0.0.1 8000 </dev/null            one report, as JSON
  curl -s '127.0.0.1:8000/v1/report?symbol=PETR4'   the same by HTTP
  tail -f out/run/core.log                          watch the breaker
  make stop-all                                     end it
`

func (r *runner) startAll(ctx context.Context) error {
	for _, p := range r.all {
		if err := r.start(p); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(readyWait)
	for _, p := range r.all {
		if err := r.awaitReady(ctx, p, deadline); err != nil {
			return fmt.Errorf("%w; the last of %s:\n%s", err, r.file(p, "log"), tail(r.file(p, "log")))
		}
	}
	return nil
}

// portsFree says which port is in use, and by whom where we know it.
func (r *runner) portsFree() error {
	for _, p := range r.all {
		if pid, ok := r.running(p); ok {
			return fmt.Errorf("%s is running already, pid %d: make stop-all ends it", p.name, pid)
		}
		for _, addr := range []string{p.addr(), p.admin()} {
			ln, err := net.Listen("tcp", addr)
			if err != nil {
				return fmt.Errorf("%s, which %s needs, is in use by another program: nothing was started (ss -ltnp shows whose it is)", addr, p.name)
			}
			_ = ln.Close()
		}
	}
	return nil
}

// start starts one process in a group of its own, so that it outlives make and the terminal.
func (r *runner) start(p process) error {
	log, err := os.Create(r.file(p, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(r.bin, p.bin), p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() { _ = cmd.Wait() }() // so that a dead one is no zombie while we wait for readiness
	return os.WriteFile(r.file(p, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644)
}

// awaitReady polls /readyz until it says ok, the process is gone, or time is up.
func (r *runner) awaitReady(ctx context.Context, p process, deadline time.Time) error {
	client := http.Client{Timeout: time.Second}
	why := "no answer"
	for time.Now().Before(deadline) {
		if _, ok := r.running(p); !ok {
			return fmt.Errorf("%s has ended", p.name)
		}
		resp, err := client.Get("http://" + p.admin() + "/readyz")
		if err == nil {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			why = strings.TrimSpace(string(body))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready after %v: %s", p.name, readyWait, why)
}

// tail returns the last lines of a file.
func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n  ")
}
