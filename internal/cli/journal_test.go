package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/books/bookstest"
	"github.com/lamppost/lamppost/internal/ledger"
)

// The demo's journal has the balances that the demo's ledger has, as hledger reads it.
func TestDemoJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, path := filepath.Join(dir, "d"), filepath.Join(dir, "street.journal")
	says(t, []string{"demo", "--for", "3s", "--data", data})
	says(t, []string{"export", "--journal", path, "--data", data}, "the balances are the ledger's")
	fails(t, []string{"export", "--journal", path, "--data", data}, "is there already: say --force")
	fails(t, []string{"export", "--journal", path + "2", "--after", "3", "--data", data}, "--after is of --parquet")
	journal, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	src, done, err := openFolder(data)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	var accounts []ledger.Account
	err = src.See(func(v archive.View) (err error) {
		accounts, err = ledger.View{Reader: v.Reader}.Accounts()
		return err
	})
	if err != nil || len(accounts) < 40 {
		t.Fatalf("%d accounts: %v", len(accounts), err)
	}
	bookstest.Check(t, journal, accounts)
}
