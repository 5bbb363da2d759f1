// Command run starts the seven processes on their documented ports: in the background (up, down) or before one's eyes (fg).
// The Makefile's run-all, stop-all and run call it; README.md beside it says what it does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

func run(args []string, env func(string) string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	if err := command(ctx, args, env, stdout); err != nil {
		fmt.Fprintln(stderr, "run:", err)
		return 1
	}
	return 0
}

func command(ctx context.Context, args []string, env func(string) string, stdout io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments: want one of up, down, fg", len(args))
	}
	r := runner{dir: "out/run", stdout: stdout, readyWait: readyWait, leaveWait: leaveWait}
	flags := env
	if args[0] == "down" {
		flags = func(string) string { return "" } // whatever they were started with, or would be now
	}
	var err error
	if r.all, err = processes("bin", flags); err != nil {
		return err
	}
	switch args[0] {
	case "up":
		if err := r.up(ctx); err != nil {
			return err
		}
		_, err = io.WriteString(stdout, next(env))
		return err
	case "down":
		return r.down()
	case "fg":
		return r.foreground(ctx)
	}
	return fmt.Errorf("unknown command %q: want up, down or fg", args[0])
}
