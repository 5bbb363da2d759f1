// Command run starts the seven processes on their documented ports: in the background (up, down) or before one's eyes (fg).
// The Makefile's run-all, stop-all and run call it; see README.md beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := runner{dir: "out/run", bin: "bin", all: processes(os.Getenv), stdout: os.Stdout}
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: run up|down|fg")
		return 2
	}
	var err error
	switch os.Args[1] {
	case "up":
		err = r.up(ctx)
	case "down":
		err = r.down()
	case "fg":
		err = r.foreground(ctx)
	default:
		err = fmt.Errorf("unknown command %q: want up, down or fg", os.Args[1])
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "run:", err)
		return 1
	}
	return 0
}
