// Command core is the sequencer: it streams from the exchange behind a circuit breaker, publishes and stores.
package main

import (
	"context"
	"os"

	"quotes/src/core"
	"quotes/src/service"
)

func main() {
	var cfg core.Config
	os.Exit(service.Main(service.Spec{
		Name: "core", Short: "The sequencer, behind a circuit breaker", Port: 8082, Flags: cfg.Flags,
		Run: func(ctx context.Context, env *service.Env) error {
			cfg.Log, cfg.Metrics, cfg.Version = env.Log, env.Metrics, env.Version
			c, err := core.New(cfg)
			if err != nil {
				return err
			}
			c.Handle(env)
			env.Ready(c.Ready)
			return c.Run(ctx)
		},
	}))
}
