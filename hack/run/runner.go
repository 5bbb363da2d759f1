package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Bounds of waiting: for all processes to be ready, and for one to leave before it is killed.
const (
	readyWait = 30 * time.Second
	leaveWait = 10 * time.Second
)

// runner starts and ends the processes. Every process that it starts has a pid file, in the background or not, so that down
// finds it.
type runner struct {
	dir       string // of pid files and logs
	all       []process
	stdout    io.Writer
	readyWait time.Duration
	leaveWait time.Duration
}

func (r *runner) pidFile(p process) string { return filepath.Join(r.dir, p.name+".pid") }
func (r *runner) logFile(p process) string { return filepath.Join(r.dir, p.name+".log") }

// up starts in the background what does not run yet, and returns when every one of it is ready. After an error nothing that
// it started runs.
func (r *runner) up(ctx context.Context) error {
	old, missing, err := r.look()
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return fmt.Errorf("all %d run already, %s on %s: make stop-all ends them", len(old), old[0].name, old[0].data)
	}
	if err := portsFree(missing); err != nil {
		return err
	}
	started, err := r.startAll(missing, func(p process) (io.WriteCloser, error) { return os.Create(r.logFile(p)) })
	if err == nil {
		err = r.awaitReady(ctx, started)
	}
	if err != nil {
		_, failed := r.endAll(processesOf(started)) // not what another run may have started meanwhile
		return errors.Join(err, failed)
	}
	if len(old) > 0 {
		fmt.Fprintf(r.stdout, "%s ran already, as started then\n", names(old))
	}
	fmt.Fprintf(r.stdout, "%s started and ready\n", names(missing))
	return nil
}

// down ends what up or fg started, the last one first, and removes the pid files.
func (r *runner) down() error {
	ended, err := r.endAll(r.all)
	if len(ended) == 0 && err == nil {
		fmt.Fprintln(r.stdout, "nothing was running")
	}
	return err
}

// look tells the processes that run from those that do not.
func (r *runner) look() (running, missing []process, err error) {
	for _, p := range r.all {
		alive, err := alive(r.pidFile(p))
		if err != nil {
			return nil, nil, err
		}
		if alive {
			running = append(running, p)
		} else {
			missing = append(missing, p)
		}
	}
	return running, missing, nil
}

// startAll starts processes in order, each with an output of its own. After an error those before it run.
func (r *runner) startAll(all []process, output func(process) (io.WriteCloser, error)) ([]*child, error) {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	var started []*child
	for _, p := range all {
		out, err := output(p)
		if err != nil {
			return started, err
		}
		c, err := start(p, r.pidFile(p), out)
		if err != nil {
			return started, err
		}
		started = append(started, c)
	}
	return started, nil
}

// endAll ends processes, the last one first, and says and returns which ran.
func (r *runner) endAll(all []process) (ended []process, err error) {
	for _, p := range slices.Backward(all) {
		how, failed := end(r.pidFile(p), r.leaveWait)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("end %s: %w", p.name, failed))
			continue
		}
		if how == killed {
			fmt.Fprintf(r.stdout, "%s did not leave within %v and was killed\n", p.name, r.leaveWait)
		}
		if how != absent {
			ended = append(ended, p)
		}
	}
	if len(ended) > 0 {
		fmt.Fprintf(r.stdout, "%s ended\n", names(ended))
	}
	return ended, err
}

// portsFree names the first port that something else listens on.
func portsFree(all []process) error {
	for _, p := range all {
		for _, addr := range []string{p.data, p.admin} {
			ln, err := net.Listen("tcp", addr)
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("%s, which %s needs, is in use by something not started from this folder: nothing was started (ss -ltnp shows whose it is)", addr, p.name)
			}
			if err != nil {
				return fmt.Errorf("%s can't have its port, nothing was started: %w", p.name, err)
			}
			_ = ln.Close()
		}
	}
	return nil
}

func names(all []process) string {
	var list []string
	for _, p := range all {
		list = append(list, p.name)
	}
	return strings.Join(list, ", ")
}
