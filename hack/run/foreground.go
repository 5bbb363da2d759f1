package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// foreground runs all with their logs on stdout, a name before each line, until ctx ends or one of them does. It returns when
// all are gone.
func (r *runner) foreground(ctx context.Context) error {
	old, _, err := r.look()
	if err != nil {
		return err
	}
	if len(old) > 0 {
		return fmt.Errorf("%s run already: make stop-all ends them", names(old))
	}
	if err := portsFree(r.all); err != nil {
		return err
	}
	console := &console{w: r.stdout}
	started, err := r.startAll(r.all, func(p process) (io.WriteCloser, error) { return console.column(p.name), nil })
	if err == nil {
		err = firstEnd(ctx, started)
	}
	_, failed := r.endAll(processesOf(started))
	for _, c := range started {
		<-c.done // its last lines are out
	}
	return errors.Join(err, failed)
}

// firstEnd waits until ctx ends, which is no error, or a process.
func firstEnd(ctx context.Context, started []*child) error {
	ended := make(chan *child, len(started))
	for _, c := range started {
		go func() { <-c.done; ended <- c }() // ends with the process, and all are ended soon
	}
	select {
	case <-ctx.Done():
		return nil
	case c := <-ended:
		return c.ended()
	}
}

func processesOf(children []*child) []process {
	var all []process
	for _, c := range children {
		all = append(all, c.process)
	}
	return all
}
