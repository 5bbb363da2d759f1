// Command aggregator makes reports and says how complete they are.
package main

import (
	"context"
	"os"

	"quotes/src/aggregator"
	"quotes/src/service"
)

func main() {
	var cfg aggregator.Config
	os.Exit(service.Main(service.Spec{
		Name: "aggregator", Short: "Reports out of core and the shards", Port: 8000, Flags: cfg.Flags,
		Run: func(ctx context.Context, env *service.Env) error {
			cfg.Log, cfg.Metrics, cfg.Version = env.Log, env.Metrics, env.Version
			a, err := aggregator.New(cfg)
			if err != nil {
				return err
			}
			a.Handle(env)
			env.Ready(a.Ready)
			return a.Run(ctx)
		},
	}))
}
