package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	pollEvery = 50 * time.Millisecond
	tailLines = 10 // of a log, shown when its process failed
)

// awaitReady polls every process until all have said that they are ready and live. The error names the one that ended or was
// not ready in time, and shows the end of its log.
func (r *runner) awaitReady(ctx context.Context, started []*child) error {
	deadline := time.Now().Add(r.readyWait)
	why := map[*child]string{}
	for _, c := range started {
		why[c] = "no answer"
	}
	for {
		for _, c := range started {
			select {
			case <-c.done:
				return r.withLog(c, c.ended())
			case <-ctx.Done():
				return fmt.Errorf("interrupted before %s was ready", c.name)
			default:
			}
			if why[c] != "" {
				why[c] = notReady(ctx, c.admin)
			}
		}
		late := firstLate(started, why)
		if late == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return r.withLog(late, fmt.Errorf("%s is not ready after %v: %s", late.name, r.readyWait, why[late]))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

func firstLate(started []*child, why map[*child]string) *child {
	for _, c := range started {
		if why[c] != "" {
			return c
		}
	}
	return nil
}

// notReady asks a process by its admin port and returns why it is not ready, nothing where it is.
func notReady(ctx context.Context, admin string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	return fmt.Sprintf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
}

// withLog adds the end of a process's log to an error.
func (r *runner) withLog(c *child, err error) error {
	b, readErr := os.ReadFile(r.logFile(c.process))
	if readErr != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return fmt.Errorf("%w; the end of %s:\n  %s", err, r.logFile(c.process), strings.Join(lines, "\n  "))
}
