// The programs of Argo CD that sync an Application and evaluate its health, and the cache that they need, in one binary.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	repository "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
)

func main() {
	all := &cobra.Command{Use: "argo-cd"}
	all.AddCommand(controller.NewCommand(), repository.NewCommand(), cache())
	if err := all.Execute(); err != nil {
		os.Exit(1)
	}
}

func cache() *cobra.Command {
	return &cobra.Command{
		Use:   "cache ADDRESS",
		Short: "Serve the protocol of Redis from memory",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			server := miniredis.NewMiniRedis()
			if err := server.StartAddr(arguments[0]); err != nil {
				return err
			}
			defer server.Close()
			ended := make(chan os.Signal, 1)
			signal.Notify(ended, syscall.SIGTERM)
			<-ended
			return nil
		},
	}
}
