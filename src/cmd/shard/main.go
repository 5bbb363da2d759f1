// Shard keeps durable history of the slots that it owns; docs/architecture.md has the whole picture.
package main

import (
	"context"
	"os"

	"quotes/src/service"
	"quotes/src/shard"
)

func main() {
	var cfg shard.Config
	os.Exit(service.Main(service.Spec{
		Name: "shard", Keeps: true,
		Short: "A shard: durable, replicated history of quotes and trades",
		Port:  shard.PortOf(os.Args[1:], os.Getenv("QUOTES_NAME")),
		Flags: cfg.Flags,
		Run: func(ctx context.Context, env *service.Env) error {
			cfg.Log, cfg.Metrics, cfg.Version = env.Log, env.Metrics, env.Version
			s, err := shard.New(cfg)
			if err != nil {
				return err
			}
			env.Ready(s.Ready)
			return s.Run(ctx)
		},
	}))
}
