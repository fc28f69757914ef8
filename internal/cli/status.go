package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func statusCmd() *cobra.Command {
	f := &nodeFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the node is",
		Example: `  lamppost status --data ./node
  LAMPPOST_URL=https://node.example:8443 LAMPPOST_TOKEN=… lamppost status --json`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var s api.Status
			raw, err := n.get("/api/status", &s)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printStatus(w, n.url, &s) })
		}),
	}
	return f.add(cmd)
}

// renewDays is how long before its end a certificate is warned of.
const renewDays = 30

func printStatus(w io.Writer, url string, s *api.Status) {
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s %s\n", name+":", printable(fmt.Sprintf(format, args...)))
	}
	if c := s.Conflict; c != nil {
		printConflict(w, c)
	}
	fact("Network", "%s, member %s, at %s", s.Network, s.Member, url)
	fact("Engine", "%s (%s), block %d, %d waiting", s.Engine.Engine, s.Engine.Role, s.Engine.Height, s.Engine.Queued)
	for _, m := range s.Members {
		fact("Member", "%s", memberWords(&m, s))
	}
	for _, e := range s.Evidence {
		fact("LIE", "%s: %s (evidence/%s)", since(e.Found, s.Now), e.Text, e.File)
	}
	if s.Log.Size == 0 {
		fact("Log", "nothing is published yet")
	} else {
		fact("Log", "%d entries, root %.16s…, published %s", s.Log.Size, s.Log.Root, since(s.Log.Published, s.Now))
	}
	if b := s.Broker; b != nil && b.Connected {
		fact("Broker", "%s, connected since %s: %d received (%d again), %d acknowledged, %d of them refused", b.Address, when(b.Since),
			b.Received, b.Redelivered, b.Acknowledged, b.Refused)
	} else if b != nil {
		fact("Broker", "%s, not connected since %s: %s", b.Address, when(b.Since), cmp.Or(b.Error, "the node has just started"))
	}
	if days := (s.Certificate - s.Now) / (24 * 3600 * 1000); s.Certificate > 0 && days < renewDays {
		fact("Certificate", "OF THE DOORS ENDS IN %d DAYS, on %s: renew its files, they are read again without a restart", max(0, days), when(s.Certificate))
	}
	printCopies(fact, s)
	printWitnesses(fact, s)
	fact("Signatures", "%s", verification(&s.Verify))
	if j := s.Triage; j == nil {
		fact("Triage", "off: readings are not judged")
	} else {
		fact("Triage", "%s", triageWords(j))
	}
	t := &s.Totals
	fact("Devices", "%d, %d online", t.Devices, t.DevicesOnline)
	fact("Readings", "%d in %d reports, %s kWh, since %s", t.Readings, t.Reports, t.KWh, when(t.Since))
	if billed := money(t.Billed); billed != "" {
		fact("Billed", "%s", billed)
	}
	var refused []string
	for _, code := range slices.Sorted(maps.Keys(t.Refused)) {
		refused = append(refused, fmt.Sprintf("%d %s", t.Refused[code], code))
	}
	if len(refused) > 0 {
		fact("Not taken", "%s", strings.Join(refused, ", "))
	}
	if s.Speed != 1 {
		fact("Clock", "%s, %g times as fast as ours", when(s.Now), s.Speed)
	}
}

// printCopies says how old the latest snapshot and backup are, and what is late.
func printCopies(fact func(name, format string, args ...any), s *api.Status) {
	c := &s.Copies
	if c.Snapshot.Error != "" {
		fact("Snapshot", "THE LATEST TRY DID NOT WORK: %s", c.Snapshot.Error)
	} else if c.Snapshot.Height > 0 {
		fact("Snapshot", "of block %d, %s", c.Snapshot.Height, since(c.Snapshot.Time, s.Now))
	}
	if c.Backup > 0 {
		fact("Backup", "%s", since(c.Backup, s.Now))
	} else {
		fact("Backup", "none is known: lamppost backup makes one")
	}
	for _, f := range c.Scrub.Faults {
		fact("DISK", "%s IS DAMAGED: %s (found %s); lamppost fsck says what follows", f.Where, f.What, since(f.At, s.Now))
	}
	if c.Overdue > 0 {
		fact("Erasures", "%d OVERDUE: lamppost erase list says which, and which backups still hold them", c.Overdue)
	}
}

// printWitnesses says how far those are that the node asks.
func printWitnesses(fact func(name, format string, args ...any), s *api.Status) {
	if len(s.Witnesses) == 0 {
		return
	}
	fact("Cosigned", "%d entries by %d or more of %d witnesses", s.Log.Cosigned, s.Quorum, len(s.Witnesses))
	for i := range s.Witnesses {
		x := &s.Witnesses[i]
		text := "nothing yet"
		if x.Size > 0 {
			text = fmt.Sprintf("%d entries, %s", x.Size, since(x.At, s.Now))
		}
		if x.Error != "" {
			text += fmt.Sprintf("; %s: %s", since(x.Failed, s.Now), x.Error)
		}
		fact("Witness", "%s: %s", x.Name, text)
	}
}

// printConflict says that the node stands still, and prints what proves why.
func printConflict(w io.Writer, c *api.Conflict) {
	fmt.Fprintf(w, "STOPPED %s: nothing is signed or taken any more. %s. What to do: docs/witness.md\n", when(c.Found), printable(c.Text))
	for _, x := range [][2]string{{"The latest checkpoint here:", c.Ours}, {"What was signed before:", c.Theirs}} {
		if x[1] != "" {
			fmt.Fprintf(w, "%s\n%s", x[0], indented(x[1]))
		}
	}
}

func verification(v *api.Verification) string {
	if v.Policy != lamppost.VerifyGateway.String() {
		return "all checked by every replica"
	}
	s := fmt.Sprintf("checked by gateways; %d checked again here by lot, %d found false", v.Sampled, v.Hits)
	if v.Skipped > 0 {
		s += fmt.Sprintf(", %d drawn and not checked for want of time", v.Skipped)
	}
	return s
}

// triageWords says how far readings are judged.
func triageWords(j *api.TriageState) string {
	if j.Error != "" {
		return fmt.Sprintf("STOPPED AT BLOCK %d: %s", j.Height, j.Error)
	}
	s := fmt.Sprintf("judged up to block %d", j.Height)
	if j.Lag > 0 {
		s += fmt.Sprintf(", %d behind", j.Lag)
	}
	s += fmt.Sprintf("; %d series in %d MB; found %d anomalies, %d implausible, %d of behaviour", j.Series, j.Bytes/1e6, j.Verdicts["anomaly"], j.Verdicts["implausible"], j.Verdicts["behaviour"])
	if j.Waiting > 0 {
		s += fmt.Sprintf(", %d of them to be ordered", j.Waiting)
	}
	if j.NotJudged > 0 {
		s += fmt.Sprintf("; %d READINGS NOT JUDGED, for want of memory (triage_memory) or of devices with too many names", j.NotJudged)
	}
	return s
}

// memberWords says how another member does.
func memberWords(m *api.MemberState, s *api.Status) string {
	if m.Error != "" {
		if m.Seen == 0 {
			return fmt.Sprintf("%s has not answered yet: %s", m.ID, m.Error)
		}
		return fmt.Sprintf("%s does not answer, last %s: %s", m.ID, since(m.Seen, s.Now), m.Error)
	}
	words := fmt.Sprintf("%s (%s), block %d", m.ID, m.Role, m.Height)
	if m.Height+1 < s.Engine.Height {
		words += fmt.Sprintf(", %d behind", s.Engine.Height-m.Height)
	}
	return words
}
