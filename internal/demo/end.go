package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

// A reckoning holds what the devices took against what the ledger counted.
type reckoning struct {
	taken, acked, committed amount
	kWh                     string
}

// reckon waits until the ledger has counted what the devices took, and refuses more or less.
func (r *run) reckon(ctx context.Context) (k reckoning, err error) {
	t := r.tally.counts()
	k.taken, k.acked, k.kWh = t.taken, t.acked, t.kWh.String()
	err = eventually(ctx, func() error {
		now, err := r.web.status(ctx)
		if err != nil {
			return err
		}
		k.committed = amount{now.Totals.Reports, now.Totals.Readings}
		if k.committed.reports < k.taken.reports {
			return &notReady{"the ledger does not have every report"}
		}
		return nil
	})
	if err == nil && !k.equal() {
		err = errors.New("the counts differ")
	}
	if err != nil {
		return k, fmt.Errorf("%d readings in %d reports were taken, %d in %d acknowledged, %d in %d committed: %w", k.taken.readings,
			k.taken.reports, k.acked.readings, k.acked.reports, k.committed.readings, k.committed.reports, err)
	}
	return k, nil
}

func (k *reckoning) equal() bool { return k.taken == k.committed && k.taken == k.acked }

// Files of the demo's folder that people are told of.
const (
	statementFile = "statement.json"
	pinFile       = "network.pin"
)

// A takenHome is a statement that somebody has taken home and checked.
type takenHome struct {
	command, statement, pin, changed, edit string
	finding                                *audit.Finding
}

// takeHome fetches a party's statement and the network's pin and checks them as the party would.
func (r *run) takeHome(ctx context.Context, whose lamppost.PartyID, invoices int) (h takenHome, err error) {
	var statement, pin []byte
	err = eventually(ctx, func() (err error) {
		if statement, err = r.web.do(ctx, http.MethodGet, "/api/statements/"+string(whose), nil); err != nil {
			return err
		}
		pin, err = r.web.do(ctx, http.MethodGet, "/network.pin", nil)
		return err
	})
	if err != nil {
		return h, fmt.Errorf("fetching the statement of %s: %w", whose, err)
	}
	if err := os.WriteFile(r.path(statementFile), statement, 0o600); err != nil {
		return h, fmt.Errorf("writing the statement: %w", err)
	}
	if err := os.WriteFile(r.path(pinFile), pin, 0o600); err != nil {
		return h, fmt.Errorf("writing the pin: %w", err)
	}
	h.statement, h.pin, h.command = r.path(statementFile), r.path(pinFile), r.o.Command
	h.changed = r.path("changed.json")
	if err := h.verify(statement, pin, invoices); err != nil {
		return h, fmt.Errorf("the statement of %s: %w", whose, err)
	}
	return h, nil
}

// verify checks the statement, and that changing one digit of it is noticed.
func (h *takenHome) verify(statement, pin []byte, invoices int) error {
	trusted, err := audit.ParsePin(string(pin))
	if err != nil {
		return err
	}
	finding, err := audit.Verify(statement, trusted)
	if err != nil {
		return fmt.Errorf("it does not hold: %w", err)
	}
	if !finding.Pinned || finding.Invoices != invoices {
		return fmt.Errorf("it has %d invoices, not %d, or hangs on no pin", finding.Invoices, invoices)
	}
	edit, changed, err := oneDigit(statement)
	if err != nil {
		return err
	}
	if _, err := audit.Verify(changed, trusted); err == nil {
		return errors.New("a changed digit was not noticed")
	}
	h.edit, h.finding = edit, finding
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
