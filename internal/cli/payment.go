package cli

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/sepa"
)

func paymentCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("payment", "Payments: what is due, files for the bank, and what it reports", `  lamppost payment due --seller works --data ./node
  lamppost payment debits --seller works --out debits.xml --data ./node
  lamppost payment match statement.xml --data ./node`, paymentDueCmd(f), paymentFileCmd(f, "debits"), paymentFileCmd(f, "credits"), paymentMatchCmd(f))
}

func paymentDueCmd(f *nodeFlags) *cobra.Command {
	var seller, buyer string
	var settled bool
	cmd := &cobra.Command{
		Use:   "due",
		Short: "List what is to be paid on invoices, and what is to be paid back",
		Long: `List what is to be paid on each invoice: its total and that of all that corrected it, less what was paid. Below zero it is to be
paid back. A payment is a transfer whose memo begins with the invoice's number.`,
		Example: "  lamppost payment due --seller works",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			q := url.Values{"seller": {seller}, "buyer": {buyer}}
			if settled {
				q.Set("settled", "true")
			}
			var all api.DueList
			raw, err := n.get("/api/dues?"+q.Encode(), &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"INVOICE", "SELLER", "BUYER", "ISSUED", ">CLAIMED", ">PAID", ">DUE", ""}}
				for _, d := range all.Dues {
					t.add(d.Invoice, string(d.Seller), string(d.Buyer), when(d.Issued), d.Claimed.String(), d.Paid.String(), d.Due.String(), d.Currency)
				}
				t.print(w, "Nothing is due.")
			})
		}),
	}
	cmd.Flags().StringVar(&seller, "seller", "", "only of this seller")
	cmd.Flags().StringVar(&buyer, "buyer", "", "only of this buyer")
	cmd.Flags().BoolVar(&settled, "settled", false, "also invoices on which nothing is due any more")
	return cmd
}

// paymentFileCmd makes the verb that writes direct debits, or credit transfers.
func paymentFileCmd(f *nodeFlags, kind string) *cobra.Command {
	var seller, out, date string
	var sent []string
	var force bool
	short, long := "Write direct debits for the bank (pain.008.001.08)", `Write a file for a seller's bank that collects what is due from buyers with a mandate.`
	if kind == "credits" {
		short, long = "Write credit transfers for the bank (pain.001.001.09)", `Write a file for a seller's bank that pays back what is due to buyers.`
	}
	cmd := &cobra.Command{
		Use:   kind + " --seller PARTY --out FILE",
		Short: short,
		Long: long + ` Names come from the ledger, IBANs, mandates and
the creditor identifier from the file that the node's setting parties names. Nothing is booked: what came of it is in the bank's
statement, for lamppost payment match. Until then the same is due: name earlier files with --sent, and what they have is left out.

Exit code 1: a bank would refuse some; they are named, and the others are in the file.`,
		Example: fmt.Sprintf("  lamppost payment %s --seller works --out %s-2026-12.xml --sent %s-2026-11.xml --data ./node", kind, kind, kind),
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			order := api.SEPAOrder{Kind: kind, Seller: lamppost.PartyID(seller), Date: date, Exclude: []string{}}
			for _, path := range sent {
				ids, err := endToEndIDs(path)
				if err != nil {
					return usage(fmt.Errorf("--sent: %w", err))
				}
				order.Exclude = append(order.Exclude, ids...)
			}
			return n.paymentFile(order, out, force)
		}),
	}
	cmd.Flags().StringVar(&seller, "seller", "", "party whose bank it is for")
	cmd.Flags().StringVar(&out, "out", "", "file to write")
	cmd.Flags().StringVar(&date, "date", time.Now().AddDate(0, 0, 2).Format(time.DateOnly), "earliest day of payment; weekends move to Monday")
	cmd.Flags().StringArrayVar(&sent, "sent", nil, "an earlier file, whose invoices are left out; once for each")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file if it is there")
	return require(cmd, "seller", "out")
}

func (n *remote) paymentFile(order api.SEPAOrder, path string, force bool) error {
	out, err := newFile(path, force)
	if err != nil {
		return err
	}
	defer out.abort()
	var res api.SEPAFile
	raw, err := n.post("/api/sepa", order, &res)
	if err != nil {
		return err
	}
	if res.Payments > 0 {
		if _, err := io.WriteString(out.temps[0], res.File); err != nil {
			return err
		}
		if err := out.commit(); err != nil {
			return err
		}
	}
	err = n.show(raw, func(w io.Writer) {
		if res.Payments > 0 {
			fmt.Fprintf(w, "%s: %d payments, %s EUR, message %s\n", path, res.Payments, res.Sum, res.ID)
		} else {
			fmt.Fprintln(w, "There is nothing to pay: no file was written.")
		}
		printLeft(w, "left out", res.Skipped)
		printLeft(w, "REFUSED", res.Refused)
	})
	if err == nil && len(res.Refused) > 0 {
		err = &ExitError{ExitFailed, fmt.Errorf("a bank would refuse %d payments", len(res.Refused))}
	}
	return err
}

func printLeft(w io.Writer, what string, list []api.SEPALeft) {
	for _, x := range list {
		fmt.Fprintln(w, printable(fmt.Sprintf("%s: %s of %s, %s: %s", what, x.Invoice, x.Party, x.Amount, x.Text)))
	}
}

// endToEndIDs reads the invoices of a file for the bank.
func endToEndIDs(path string) (ids []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for dec := xml.NewDecoder(f); ; {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			if len(ids) == 0 {
				return nil, fmt.Errorf("%s has no payments", path)
			}
			return ids, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if start, ok := tok.(xml.StartElement); ok && start.Name.Local == "EndToEndId" {
			var id string
			if err := dec.DecodeElement(&id, &start); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			ids = append(ids, id)
		}
	}
}

func paymentMatchCmd(f *nodeFlags) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "match FILE",
		Short: "Book what a bank's statement says was paid (camt.053.001.08)",
		Long: `Read a bank's statement and book what was paid: by the end-to-end id, by an invoice's number in the text, or by amount and the
other side's IBAN where that leaves one invoice. Each entry is booked once, by the bank's reference, so a statement can be read
again, and statements may overlap. Less than is due leaves the rest due; more makes the rest due to the buyer; a payment that
the bank took back is due again. What fits nothing is listed with the reason.

Exit code 1: something was not booked.`,
		Example: `  lamppost payment match statement.xml --dry-run --data ./node
  lamppost payment match statement.xml --data ./node`,
		Args: oneArg("the bank's statement"),
		RunE: f.run(func(n *remote, args []string) error {
			in, err := os.Open(args[0])
			if err != nil {
				return usage(err)
			}
			defer in.Close()
			m := &matching{n: n, dry: dry, result: matchResult{DryRun: dry, Entries: []matched{}}}
			err = sepa.Read(in, m.entry)
			if err == nil {
				err = m.send()
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", args[0], err)
			}
			return errors.Join(m.report(), err, m.verdict(err))
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be booked, and book nothing")
	return cmd
}

// A matching goes through a statement.
type matching struct {
	n       *remote
	dry     bool
	waiting []books.Payment
	entries []sepa.Entry // as many
	result  matchResult
}

type matchResult struct {
	DryRun  bool      `json:"dry_run"`
	Booked  int       `json:"booked"` // of a dry run: that would be
	Before  int       `json:"unchanged"`
	Left    int       `json:"left"`
	Entries []matched `json:"entries"`
}

// matched is what became of an entry.
type matched struct {
	api.PaymentResult
	Date     string         `json:"date"`
	Amount   lamppost.Micro `json:"amount"` // below zero: it went out
	Currency string         `json:"currency"`
	Name     string         `json:"name"`
}

// entry takes an entry of the statement.
func (m *matching) entry(e *sepa.Entry) error {
	if err := m.n.ctx.Err(); err != nil {
		return err
	}
	if e.Problem != "" {
		m.take(e, api.PaymentResult{Reference: e.Reference, Outcome: api.Unmatched, Text: e.Problem})
		return nil
	}
	m.waiting = append(m.waiting, books.Payment{Reference: e.Reference, Account: e.Account, Out: !e.Credit, Returned: e.Returned, Amount: e.Amount,
		Currency: e.Currency, EndToEnd: e.EndToEnd, Text: e.Text, Payer: e.Name, PayerIBAN: e.IBAN})
	m.entries = append(m.entries, *e)
	if len(m.waiting) == matchBatch && !m.dry {
		return m.send()
	}
	return nil
}

// matchBatch is how many payments are sent at a time: each waits for its block.
const matchBatch = 100

// send has payments booked. A dry run sends as many as it can at once, because the node counts only those of one request.
func (m *matching) send() error {
	for len(m.waiting) > 0 {
		n := min(len(m.waiting), api.MaxPayments)
		var out api.PaymentResults
		if _, err := m.n.post("/api/payments", api.Payments{Payments: m.waiting[:n], DryRun: m.dry}, &out); err != nil {
			return err
		}
		if len(out.Results) != n {
			return fmt.Errorf("%s does not answer like a Lamppost node of this version: %d results for %d payments", m.n.url, len(out.Results), n)
		}
		for i, r := range out.Results {
			m.take(&m.entries[i], r)
		}
		m.waiting, m.entries = m.waiting[n:], m.entries[n:]
	}
	return nil
}

func (m *matching) take(e *sepa.Entry, r api.PaymentResult) {
	x := matched{PaymentResult: r, Date: e.Date, Amount: e.Amount, Currency: e.Currency, Name: e.Name}
	if !e.Credit {
		x.Amount = -x.Amount
	}
	switch r.Outcome {
	case books.Paid, books.Partial, books.Over, books.Returned, books.Refunded:
		m.result.Booked++
	case api.OutcomeUnchanged:
		m.result.Before++
	default:
		m.result.Left++
	}
	m.result.Entries = append(m.result.Entries, x)
}

func (m *matching) verdict(err error) error {
	if m.result.Left > 0 && err == nil {
		return &ExitError{ExitFailed, fmt.Errorf("%d entries were not booked", m.result.Left)}
	}
	return nil
}

// report says what became of the entries.
func (m *matching) report() error {
	r := &m.result
	if m.n.json {
		enc := json.NewEncoder(m.n.out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	t := table{head: []string{"DATE", ">AMOUNT", "", "FROM OR TO", "OUTCOME", "INVOICE", ">STILL DUE", "BY, OR WHY NOT"}}
	for _, e := range r.Entries {
		left, why := "", e.By
		if e.Invoice != "" {
			left = e.Left.String()
		}
		if e.Text != "" {
			why = e.Text + " [" + e.Reference + "]"
		}
		t.add(e.Date, e.Amount.String(), e.Currency, e.Name, e.Outcome, e.Invoice, left, why)
	}
	t.print(m.n.out, "The statement has no entries.")
	verb := "booked"
	if r.DryRun {
		verb = "would be booked"
	}
	_, err := fmt.Fprintf(m.n.out, "%d %s, %d were before, %d are left\n", r.Booked, verb, r.Before, r.Left)
	return err
}
