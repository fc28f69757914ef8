package voucher_test

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/voucher"
)

// A folder is one process's at a time, keeps a key and any number of wallets and tills, and makes no path of what is no id.
func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := voucher.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := voucher.OpenFolder(dir); !errors.Is(err, device.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	key, err := f.Key()
	if err != nil {
		t.Fatal(err)
	}
	terms := testTerms(t)
	terms.Channel.Key = key.Public().Bytes()
	if _, err := f.Wallet("ch-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no wallet: %v", err)
	}
	w, err := f.NewWallet(terms)
	if err != nil {
		t.Fatal(err)
	}
	x, err := f.NewTill(terms)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.Pay(1, step)
	if err == nil {
		err = x.Take(1, raw, 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if f, err = voucher.OpenFolder(dir); err != nil {
		t.Fatal(err)
	}
	if w, err = f.Wallet("ch-1"); err != nil || !bytes.Equal(w.Last(), raw) {
		t.Errorf("the wallet opened again has %x (%v)", w.Last(), err)
	}
	if x, err = f.Till("ch-1"); err != nil || !bytes.Equal(x.Last(), raw) || x.Credit() != step {
		t.Errorf("the till opened again has %x (%v)", x.Last(), err)
	}
	if all, err := f.Tills(); err != nil || !slices.Equal(all, []string{"ch-1"}) {
		t.Errorf("tills %q (%v)", all, err)
	}
	if _, err := f.Till("../ch-1"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path for an id: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
