//go:build !small

package comet

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cometbft/cometbft/libs/log"
)

// A logger passes on what comet says, two levels lower than comet means it: it calls every step news and every lost
// connection an error. What it says at Debug is left out.
type logger struct {
	to   *slog.Logger
	halt func(error) // called when comet gives up
}

// halted is how comet says, only here, that its state machine has stopped for good.
const halted = "CONSENSUS FAILURE!!!"

// behind is what it says then if this machine's clock is why.
const behind = "is too far in the future (wall clock"

func (l logger) Debug(string, ...any) {}

func (l logger) Info(msg string, args ...any) { l.log(slog.LevelDebug, msg, args) }

func (l logger) Error(msg string, args ...any) {
	if msg == halted {
		err := fmt.Errorf("comet: the state machine has stopped: %v", value(args, "err"))
		if strings.Contains(err.Error(), behind) {
			err = fmt.Errorf("%w: this machine's clock is more than %v behind the other members'; set it right and start again", err, clockTolerance)
		}
		l.halt(err)
		l.log(slog.LevelError, msg, args)
		return
	}
	l.log(slog.LevelInfo, msg, args)
}

func (l logger) With(args ...any) log.Logger { return logger{l.to.With(args...), l.halt} }

func (l logger) log(level slog.Level, msg string, args []any) {
	if l.to.Enabled(context.Background(), level) {
		l.to.Log(context.Background(), level, msg, args...)
	}
}

func value(args []any, key string) any {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == key {
			return args[i+1]
		}
	}
	return nil
}
