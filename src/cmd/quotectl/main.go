// Command quotectl watches and asks the quotes system through its broker and its aggregator.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"quotes/src/cli"
	"quotes/src/service"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a reader that is gone is an error like others: what is to be kept is kept
	context.AfterFunc(ctx, stop)   // a second Ctrl-C ends it the hard way
	return cli.Run(ctx, cli.Config{
		Out:      os.Stdout,
		Err:      os.Stderr,
		Terminal: term.IsTerminal(int(os.Stdout.Fd())),
		Getenv:   os.Getenv,
		Version:  service.Version(),
	}, os.Args[1:])
}
