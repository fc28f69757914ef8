package cli

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func readingCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("reading", "Registers entered by hand, where a meter is silent or wrong", `  lamppost reading enter meter-3 energy 2026-12-01 48213000 --estimated --reason "radio is broken"`, readingEnterCmd(f))
}

func readingEnterCmd(f *nodeFlags) *cobra.Command {
	var estimated, substituted bool
	var unit, reason string
	cmd := &cobra.Command{
		Use:   "enter DEVICE REGISTER TIME VALUE --estimated|--substituted --reason TEXT",
		Short: "Enter a register's value, estimated or in place of a wrong one",
		Long: `Enter a register's value by hand. An estimated one stands where none came, until the meter's own comes; a substituted one counts in
place of what the meter signed. Bills that rest on it say so, by whose word, and are put right by: lamppost invoice correct.

The time lies on a quarter hour, a date being its midnight; where there are sessions it may be any moment. The value is in the
register's unit.`,
		Example: `  lamppost reading enter meter-3 energy 2026-12-01 48213000 --estimated --reason "radio is broken"
  lamppost reading enter meter-3 energy 2026-12-01T00:00:00+01:00 48200000 --substituted --reason "photo of the display"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 4 {
				return usage(fmt.Errorf("%s takes a device, the register's name, a time and a value; got %d arguments", cmd.CommandPath(), len(args)))
			}
			return nil
		},
		RunE: f.run(func(n *remote, args []string) error {
			b := lamppost.ReadingBody{Device: lamppost.DeviceID(args[0]), Register: args[1], Unit: unit, Quality: lamppost.Estimated, Reason: reason}
			if estimated == substituted {
				return usage(errors.New("say --estimated or --substituted"))
			}
			if substituted {
				b.Quality = lamppost.Substituted
			}
			v, err := register("value", args[3])
			if err != nil {
				return err
			}
			b.Value = *v
			point, err := n.pointAt(b.Device, b.Register)
			if err != nil {
				return err
			}
			_, zone, err := n.point(point.ID, "")
			if err != nil {
				return err
			}
			if b.Unit == "" {
				b.Unit = point.Unit
			}
			if b.Time, err = parseMoment(args[2], zone); err != nil {
				return usage(err)
			}
			return n.order("/api/readings", b, fmt.Sprintf("%s of %s at %s is %s %s, %s", b.Register, b.Device, localDate(zone, b.Time), b.Value, b.Unit, b.Quality))
		}),
	}
	cmd.Flags().BoolVar(&estimated, "estimated", false, "nothing came: it is a guess")
	cmd.Flags().BoolVar(&substituted, "substituted", false, "what came was wrong: this is right")
	cmd.Flags().StringVar(&unit, "unit", "", "of the register (default: that of its metering point)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return require(cmd, "reason")
}

// pointAt finds the metering point of a device's register.
func (n *remote) pointAt(device lamppost.DeviceID, register string) (*lamppost.PointBody, error) {
	var all api.PointList
	if _, err := n.get("/api/points", &all); err != nil {
		return nil, err
	}
	for i := range all.Points {
		if p := &all.Points[i]; p.Device == device && p.Register == register {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no metering point measures %q of device %q: `lamppost point list` shows those there are", register, device)
}
