package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"

	"github.com/lamppost/lamppost/audit"
)

// end sees to it that everything is in the ledger, pays, takes a statement home and checks it. The summary tells what was
// done, also where something went wrong.
func (r *run) end(ctx context.Context) (*summary, error) {
	s := r.newSummary()
	if err := r.compareCounts(ctx, s); err != nil {
		return s, err
	}
	if r.bills.billed == 0 {
		return s, nil
	}
	s.lamps = r.bills.lampResults()
	if err := r.bills.checkAccounts(ctx, s.lamps); err != nil {
		return s, err
	}
	if err := r.bills.pay(ctx); err != nil {
		return s, err
	}
	s.bill = newBill(r.bills.of(teller), r.tellerName())
	return s, r.takeHome(ctx, s)
}

// compareCounts waits until the ledger has counted what the devices took, and refuses more or less.
func (r *run) compareCounts(ctx context.Context, s *summary) error {
	t := r.tally.counts()
	s.taken, s.acked, s.kWh = t.taken, t.acked, t.kWh.String()
	err := eventually(ctx, func() error {
		now, err := r.web.status(ctx)
		if err != nil {
			return err
		}
		s.committed = amount{now.Totals.Reports, now.Totals.Readings}
		if s.committed.reports < s.taken.reports {
			return &notReady{"the ledger does not have every report"}
		}
		return nil
	})
	if err == nil && (s.committed != s.taken || s.acked != s.taken) {
		err = errors.New("the counts differ")
	}
	if err != nil {
		return fmt.Errorf("%d readings in %d reports were taken, %d in %d acknowledged, %d in %d committed: %w", s.taken.readings,
			s.taken.reports, s.acked.readings, s.acked.reports, s.committed.readings, s.committed.reports, err)
	}
	return nil
}

func (r *run) tellerName() string {
	for _, p := range r.d.parties {
		if p.ID == teller {
			return p.Name
		}
	}
	return string(teller)
}

// Files of the demo's folder that people are told of.
const (
	statementFile = "statement.json"
	pinFile       = "network.pin"
)

// takeHome fetches a tenant's statement and the network's pin and checks them as the tenant would.
func (r *run) takeHome(ctx context.Context, s *summary) error {
	var statement, pin []byte
	err := eventually(ctx, func() (err error) {
		if statement, err = r.web.do(ctx, http.MethodGet, "/api/statements/"+string(teller), nil); err != nil {
			return err
		}
		pin, err = r.web.do(ctx, http.MethodGet, "/network.pin", nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("fetching the statement of %s: %w", teller, err)
	}
	if err := os.WriteFile(r.path(statementFile), statement, 0o600); err != nil {
		return fmt.Errorf("writing the statement: %w", err)
	}
	if err := os.WriteFile(r.path(pinFile), pin, 0o600); err != nil {
		return fmt.Errorf("writing the pin: %w", err)
	}
	s.statement, s.pin, s.command = r.path(statementFile), r.path(pinFile), r.o.Command
	s.changed = r.path("changed.json")
	return s.verify(statement, pin)
}

// verify checks the statement, and that changing one digit of it is noticed.
func (s *summary) verify(statement, pin []byte) error {
	trusted, err := audit.ParsePin(string(pin))
	if err != nil {
		return err
	}
	finding, err := audit.Verify(statement, trusted)
	if err != nil {
		return fmt.Errorf("the statement of %s does not hold: %w", teller, err)
	}
	if !finding.Pinned || finding.Invoices != len(s.bill.numbers) {
		return fmt.Errorf("the statement of %s has %d invoices, not %d, or hangs on no pin", teller, finding.Invoices, len(s.bill.numbers))
	}
	edit, changed, err := oneDigit(statement)
	if err != nil {
		return err
	}
	if _, err := audit.Verify(changed, trusted); err == nil {
		return errors.New("a statement with a changed digit was not noticed")
	}
	s.edit, s.finding = edit, finding
	return nil
}

var totalField = regexp.MustCompile(`"total": ?"[0-9]+\.[0-9]*[0-9]"`)

// oneDigit changes the last digit of the first total, and returns the sed command that does the same: to the first line
// that has it, on every such line if several are alike.
func oneDigit(file []byte) (sed string, changed []byte, err error) {
	old := totalField.Find(file)
	if old == nil {
		return "", nil, errors.New("the statement has no total to change")
	}
	other := bytes.Clone(old)
	digit := &other[len(other)-2]
	*digit = '0' + (*digit-'0'+1)%10
	return fmt.Sprintf("s/%s/%s/", bytes.ReplaceAll(old, []byte("."), []byte(`\.`)), other), bytes.ReplaceAll(file, old, other), nil
}
