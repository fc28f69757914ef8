// Command lamppost makes bills for metered machines that everyone can check. Run it without arguments for its verbs.
package main

import (
	"os"

	"github.com/lamppost/lamppost/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
