package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// foreground runs all with their logs on stdout, a name before each line, until Ctrl-C or until one ends.
func (r *runner) foreground(ctx context.Context) error {
	if err := r.portsFree(); err != nil {
		return err
	}
	out := &prefixer{w: r.stdout}
	ended := make(chan error, len(r.all))
	var started []*exec.Cmd
	var wg sync.WaitGroup
	var startErr error
	for _, p := range r.all {
		cmd := exec.Command(filepath.Join(r.bin, p.bin), p.args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on, in order
		lines, w := io.Pipe()
		cmd.Stdout, cmd.Stderr = w, w
		if startErr = cmd.Start(); startErr != nil {
			startErr = fmt.Errorf("start %s: %w", p.name, startErr)
			break
		}
		started = append(started, cmd)
		wg.Go(func() { out.copy(p.name, lines) })
		wg.Go(func() {
			err := cmd.Wait()
			_ = w.Close()
			ended <- fmt.Errorf("%s has ended: %w", p.name, errors.Join(err, errEnded))
		})
	}
	err := startErr
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-ended:
		}
	}
	for _, cmd := range slices.Backward(started) {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	wg.Wait()
	return err
}

// errEnded says that a process ended by itself, which none should.
var errEnded = errors.New("it should not have")

// prefixer writes whole lines of several processes, each behind its name.
type prefixer struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *prefixer) copy(name string, r io.Reader) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		p.mu.Lock()
		fmt.Fprintf(p.w, "%-10s | %s\n", name, in.Text())
		p.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r) // a line beyond all bounds must not stop the process
}
