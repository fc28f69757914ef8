// Package bookstest holds a journal against hledger, a program of others, and against the ledger's accounts.
package bookstest

import (
	"bytes"
	"encoding/csv"
	"os/exec"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Check fails unless hledger accepts a journal strictly and finds the same balances in it as the ledger has. Without hledger the
// test is skipped.
func Check(t *testing.T, journal []byte, accounts []ledger.Account) {
	t.Helper()
	if _, err := exec.LookPath("hledger"); err != nil {
		t.Skip("hledger is not installed (Debian package hledger): nobody else reads the journal")
	}
	hledger(t, journal, "check", "--strict", "ordereddates")
	rows, err := csv.NewReader(bytes.NewReader(hledger(t, journal, "balance", "--flat", "--empty", "--no-total", "--layout=tidy", "-O", "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]lamppost.Micro{}
	for _, row := range rows[1:] {
		amount, err := lamppost.ParseMicro(strings.TrimSuffix(row[len(row)-1], "."))
		if err != nil {
			t.Fatalf("a balance of hledger: %q: %v", row, err)
		}
		_, party, _ := strings.Cut(row[0], ":")
		got[party+" "+row[len(row)-2]] = amount
	}
	for _, a := range accounts {
		key := string(a.Party) + " " + a.Currency
		if have := got[key]; have != a.Balance {
			t.Errorf("hledger says %s has %s, the ledger %s", key, have, a.Balance)
		}
		delete(got, key)
	}
	for key, amount := range got {
		if amount != 0 {
			t.Errorf("hledger says %s has %s, the ledger knows no such account", key, amount)
		}
	}
}

func hledger(t *testing.T, journal []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("hledger", append([]string{"-f", "-"}, args...)...)
	cmd.Env = append(cmd.Environ(), "LANG=C.UTF-8")
	cmd.Stdin = bytes.NewReader(journal)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		t.Fatalf("hledger %q: %v: %s\n%s", args, err, problem.Bytes(), journal[:min(len(journal), 4000)])
	}
	return out.Bytes()
}
