package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

// A commanding is what "device desire" was told.
type commanding struct {
	api.Command
	last  time.Duration
	after int64
	none  bool
}

func deviceDesireCmd(f *nodeFlags) *cobra.Command {
	var c commanding
	cmd := &cobra.Command{
		Use:   "desire ID FUNCTION=LEVEL… [--for TIME] [--reason TEXT]",
		Short: "Say what a device should be like for a while",
		Long: `Say what a device should be like for a while: functions at a level in percent, or at a value with its unit. It replaces what was desired of the
device before, ends by itself, and reaches the device when it is connected next. The guard decides what of it holds: "device show" says
how the device stands to it, and why.

With --id the command can be sent again: the same id is the same command, and changes nothing.`,
		Example: `  lamppost device desire lamp-7 level=60 --for 15m --reason "a quiet street"
  lamppost device desire charger-2 power=3500W --for 2h --by ann
  lamppost device desire lamp-7 --none --reason "the fair begins"`,
		Args: cobra.MinimumNArgs(1),
		RunE: f.run(func(n *remote, args []string) error { return c.run(n, args[0], args[1:]) }),
	}
	cmd.Flags().DurationVar(&c.last, "for", time.Duration(api.DefaultCommandMS)*time.Millisecond, "how long it holds, up to 168h")
	cmd.Flags().StringVar(&c.Reason, "reason", "", "why, for people")
	cmd.Flags().StringVar(&c.By, "by", "", "who commands, for people (default: operator)")
	cmd.Flags().StringVar(&c.ID, "id", "", "the command's own id (default: a new one)")
	cmd.Flags().Int64Var(&c.after, "after", -1, "only if the device is at this revision")
	cmd.Flags().BoolVar(&c.none, "none", false, "take back what is desired")
	return cmd
}

func (c *commanding) run(n *remote, id string, set []string) error {
	if c.none == (len(set) > 0) {
		return usage(errors.New("say what is desired, such as level=60, or --none"))
	}
	path := "/api/devices/" + url.PathEscape(id) + "/desired"
	var d api.DesiredState
	var raw []byte
	var err error
	if c.none {
		raw, err = n.ask(http.MethodDelete, path+"?"+url.Values{"id": {c.ID}, "by": {c.By}, "reason": {c.Reason}}.Encode(), nil)
	} else {
		var body []byte
		if body, err = c.body(set); err == nil {
			raw, err = n.ask(http.MethodPut, path, body)
		}
	}
	if err == nil {
		err = n.read(raw, &d)
	}
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) {
		fmt.Fprintf(w, "Revision %d of %s", d.Revision, id)
		if len(d.Set) > 0 {
			fmt.Fprintf(w, ", until %s", when(d.Until))
		}
		fmt.Fprintf(w, ". %s\n", printable(d.Text))
	})
}

func (c *commanding) body(set []string) ([]byte, error) {
	var all []string
	for _, text := range set {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usage(fmt.Errorf("%q is not FUNCTION=LEVEL, such as level=60 or power=3500W", text))
		}
		s, err := lamppost.ParseSetpoint(name, value)
		if err != nil {
			return nil, usage(err)
		}
		one, err := json.Marshal(lamppost.Setpoints{s})
		if err != nil {
			return nil, err
		}
		all = append(all, strings.Trim(string(one), "{}"))
	}
	if err := c.Set.UnmarshalJSON([]byte("{" + strings.Join(all, ",") + "}")); err != nil {
		return nil, usage(err)
	}
	c.For = lamppost.TimeMS(c.last.Milliseconds())
	if c.For <= 0 || c.For > lamppost.MaxDesireMS {
		return nil, usage(errors.New("--for is between 1ms and 168h"))
	}
	if c.after >= 0 {
		after := uint64(c.after)
		c.After = &after
	}
	return json.Marshal(c.Command)
}

// printDesired says what a device should be like, what it does, and why these differ.
func printDesired(w io.Writer, d *api.DesiredState) {
	if d.Revision == 0 {
		return
	}
	who := d.By
	if d.Mode != "" {
		who += ", mode " + d.Mode
	}
	head := fmt.Sprintf("Desired:     revision %d by %s, %s", d.Revision, printable(who), when(d.Time))
	if len(d.Set) > 0 {
		head += ", until " + when(d.Until)
	}
	if d.Reason != "" {
		head += ": " + printable(d.Reason)
	}
	fmt.Fprintf(w, "%s\n             %s\n", head, printable(d.Text))
	if len(d.Functions) == 0 {
		return
	}
	t := table{head: []string{"FUNCTION", ">DESIRED", ">GRANTED", ">REPORTED", "UNIT", "WHY"}}
	for i := range d.Functions {
		x := &d.Functions[i]
		t.add(x.Name, x.Desired, x.Granted, x.Reported, x.Unit, printable(x.Why))
	}
	t.print(w, "")
	fmt.Fprintln(w)
}
