package device_test

import (
	"context"
	"log"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
)

// A lamp that its operator may dim. What it does without a command, and after one, is its own.
func ExampleDevice_OpenCommands() {
	lamp := func(ctx context.Context, d *device.Device, from *device.HTTP, dim func(percent lamppost.Decimal)) {
		g, err := d.OpenGuard(device.GuardConfig{Class: lamppost.Public, From: from})
		if err != nil {
			log.Print(err) // without a guard nothing is obeyed
			return
		}
		go g.Run(ctx, nil)
		c, err := d.OpenCommands(device.CommandConfig{Guard: g, From: from, Functions: map[string]string{"level": lamppost.Level}, Apply: func(s device.State) {
			percent, holds := s.Of("level")
			if !holds {
				percent = lamppost.Dec(100, 0)
			}
			dim(percent)
		}})
		if err != nil {
			log.Print(err)
			return
		}
		c.Run(ctx)
	}
	_ = lamp
}
