package books

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// A Journal says what a journal holds.
type Journal struct {
	Network string          `json:"network"`
	Last    lamppost.Height `json:"last_block"`
	Entries int64           `json:"entries"`
}

// WriteJournal writes every posting there ever was as an hledger journal, oldest first, that `hledger check --strict` accepts and
// whose balances are the ledger's. Dates are those of the blocks in UTC. Accounts are parties:ID and devices:ID; people adds
// the parties' names, for which reason it is personal data then.
func WriteJournal(ctx context.Context, out io.Writer, see See, people bool) (*Journal, error) {
	j := &journal{out: bufio.NewWriterSize(out, 64<<10), walker: NewWalker(), names: map[lamppost.PartyID]string{}}
	if err := see(func(v archive.View) error { return j.begin(ledger.View{Reader: v.Reader}, people) }); err != nil {
		return nil, err
	}
	j.walker.checked, j.walker.all = true, true // auditors take it for complete
	var err error
	if j.Last, err = j.walker.Walk(ctx, see, j.entry); err != nil {
		return nil, err
	}
	j.end()
	return &j.Journal, j.out.Flush()
}

type journal struct {
	Journal
	out    *bufio.Writer
	walker *Walker
	names  map[lamppost.PartyID]string
}

func (j *journal) begin(v ledger.View, people bool) error {
	net, err := v.Network()
	if err != nil {
		return err
	}
	j.Network = net.Network
	fmt.Fprintf(j.out, "; The claims of network %s, as hledger reads them. Accounts and currencies are declared at the end.\n"+
		"; Below zero: what the account owes; above: what it is owed. Money itself moves through banks and stands in other books.\n", j.Network)
	if !people {
		return nil
	}
	parties, err := v.Parties()
	for _, p := range parties {
		j.names[p.ID] = p.Name
	}
	return err
}

// entry writes one transaction. Postings of nothing are left out.
func (j *journal) entry(e *Entry) error {
	j.Entries++
	code, text := "", ""
	switch {
	case e.Invoice != nil:
		inv := e.Invoice
		code = inv.Number
		text = fmt.Sprintf("invoice of %s to %s for %s until %s", inv.Seller, inv.Buyer, date(inv.From), date(inv.To))
		if inv.Corrects != nil {
			text = fmt.Sprintf("correction of %s (%s): %s to %s", inv.Corrects.Number, inv.Corrects.Cause, inv.Seller, inv.Buyer)
		}
	case e.Transfer != nil:
		text = strings.TrimSpace(fmt.Sprintf("transfer of %s to %s %s", e.Transfer.From, e.Transfer.To, oneLine(e.Transfer.Memo)))
	case e.Profit != nil:
		text = fmt.Sprintf("profit of %s from %s until %s", e.Profit.Device, date(e.Profit.From), date(e.Profit.To))
	case e.Run != nil:
		text = fmt.Sprintf("contract %s, version %d: %s %s", e.Run.Contract, e.Run.Version, e.Run.Event.Name, oneLine(e.Run.Note))
		if b := e.Run.Event.Bill; b != nil && b.Number != "" {
			text = strings.TrimSpace(text) + " of " + b.Number
		}
		text = strings.TrimSpace(text)
	default:
		text = fmt.Sprintf("conversion of %s with %s at %s %s for one %s: %s", e.Convert.Party, e.Convert.With, e.Convert.Rate, e.Convert.To, e.Convert.From,
			oneLine(e.Convert.Source))
	}
	if code != "" {
		code = "(" + oneLine(code) + ") "
	}
	fmt.Fprintf(j.out, "\n%s * %s%s  ; block:%d, tx:%d\n", date(e.Time), code, text, e.At.Height, e.At.Index)
	for _, p := range e.Postings {
		if p.Amount == 0 {
			continue
		}
		note := ""
		if p.Note != "" {
			note = "  ; " + oneLine(p.Note)
		}
		if _, err := fmt.Fprintf(j.out, "    %-30s %14s %s%s\n", j.account(p.Party)+" ", p.Amount, p.Currency, note); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) account(p lamppost.PartyID) string {
	if _, ok := j.walker.devices[lamppost.DeviceID(p)]; ok {
		return "devices:" + string(p)
	}
	return "parties:" + string(p)
}

// end declares what was used. A currency is shown with as many digits as its amounts have.
func (j *journal) end() {
	digits := map[string]uint8{}
	declared := map[string]string{}
	for a, sum := range j.walker.sums {
		declared[j.account(a.party)] = j.names[a.party]
		minor, _ := tariff.Minor(a.currency)
		digits[a.currency] = max(digits[a.currency], minor)
		for n := digits[a.currency]; n < 6 && int64(sum)%pow10(6-n) != 0; n++ {
			digits[a.currency] = n + 1
		}
	}
	fmt.Fprintln(j.out)
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		note := oneLine(declared[name])
		if note != "" {
			note = "  ; " + note
		}
		fmt.Fprintf(j.out, "account %s%s\n", name, note)
	}
	for _, currency := range slices.Sorted(maps.Keys(digits)) {
		fmt.Fprintf(j.out, "commodity 1000.%s %s\n", strings.Repeat("0", int(digits[currency])), currency)
	}
}

func pow10(n uint8) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

func date(at lamppost.TimeMS) string { return time.UnixMilli(int64(at)).UTC().Format(time.DateOnly) }

// oneLine keeps of a text what a journal's line can hold: no comment, no second line, no code.
func oneLine(s string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == ';':
			return ','
		case r == '(' || r == '|':
			return ' '
		case unicode.IsControl(r) || unicode.IsSpace(r) || !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(clean), " ")
}
