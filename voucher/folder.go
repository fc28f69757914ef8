package voucher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

// A Folder holds wallets and tills, one file for each channel, and the payer's key. One process at a time has it:
//
//	lock               while it is open
//	key                the payer's, for all its channels
//	<channel>.wallet   what was signed
//	<channel>.till     what was taken
type Folder struct {
	dir  string
	lock io.Closer
	open []*os.File
}

const (
	walletSuffix = ".wallet"
	tillSuffix   = ".till"
)

// OpenFolder opens a folder, or makes it.
func OpenFolder(dir string) (*Folder, error) {
	lock, err := device.LockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("opening a folder of vouchers: %w", err)
	}
	return &Folder{dir: dir, lock: lock}, nil
}

// Close releases it. Wallets and tills must not be used afterwards.
func (f *Folder) Close() error {
	var errs []error
	for _, x := range f.open {
		errs = append(errs, x.Close())
	}
	return errors.Join(append(errs, f.lock.Close())...)
}

// Key returns the payer's key, making one where there is none.
func (f *Folder) Key() (*sig.PrivateKey, error) { return device.LoadOrCreateKey(f.dir, sig.EdDSA) }

// NewWallet begins the wallet of a channel.
func (f *Folder) NewWallet(t Terms) (*Wallet, error) {
	key, err := f.Key()
	if err != nil {
		return nil, err
	}
	x, err := f.file(t.Channel.ID, walletSuffix, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	w, err := NewWallet(x, t, key)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", x.Name(), err)
	}
	return w, device.SyncFolder(f.dir)
}

// Wallet goes on with the wallet of a channel; the error is fs.ErrNotExist where there is none.
func (f *Folder) Wallet(channel string) (*Wallet, error) {
	key, err := f.Key()
	if err != nil {
		return nil, err
	}
	x, err := f.file(channel, walletSuffix, 0)
	if err != nil {
		return nil, err
	}
	return OpenWallet(x, key)
}

// NewTill begins the till of a channel.
func (f *Folder) NewTill(t Terms) (*Till, error) {
	x, err := f.file(t.Channel.ID, tillSuffix, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	till, err := NewTill(x, t)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", x.Name(), err)
	}
	return till, device.SyncFolder(f.dir)
}

// Till goes on with the till of a channel; the error is fs.ErrNotExist where there is none.
func (f *Folder) Till(channel string) (*Till, error) {
	x, err := f.file(channel, tillSuffix, 0)
	if err != nil {
		return nil, err
	}
	return OpenTill(x)
}

// Tills returns the channels that the folder has tills of.
func (f *Folder) Tills() (channels []string, err error) {
	entries, err := os.ReadDir(f.dir)
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), tillSuffix); ok {
			channels = append(channels, name)
		}
	}
	return channels, err
}

func (f *Folder) file(channel, suffix string, flag int) (*os.File, error) {
	if err := lamppost.CheckName("channel", channel); err != nil { // it becomes a path
		return nil, err
	}
	x, err := os.OpenFile(filepath.Join(f.dir, channel+suffix), os.O_RDWR|flag, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q has no %s of channel %q: %w", f.dir, suffix[1:], channel, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	f.open = append(f.open, x)
	return x, nil
}
