package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// LoadOrCreateKey returns the key in the folder, making and storing one of the suite if there is none. The file "key"
// holds the suite's name and the seed in hexadecimal and is readable by its owner only; if [Device.Rotate] took another
// key in its place, that is returned. A key of another suite is an error: a device changes its suite by enrolling again.
func LoadOrCreateKey(dir string, suite sig.Suite) (*sig.PrivateKey, error) {
	path := filepath.Join(dir, "key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path, suite)
	}
	if err != nil {
		return nil, fmt.Errorf("loading the device's key: %w", err)
	}
	var name string
	var seed []byte
	if _, err := fmt.Sscanf(string(text), "%s %x\n", &name, &seed); err != nil {
		return nil, fmt.Errorf("loading the device's key: %q is not <suite> <seed>: %v", path, err)
	}
	if name != suite.String() {
		return nil, fmt.Errorf("loading the device's key: %q holds a key of %q, not of %q", path, name, suite)
	}
	key, err := sig.NewPrivateKey(suite, seed)
	if err != nil {
		return nil, fmt.Errorf("loading the device's key: %w", err)
	}
	r, err := readRotation(dirDisk{dir})
	if err != nil {
		return nil, fmt.Errorf("loading the device's key: %w", err)
	}
	taken, err := r.instead(key)
	if err != nil || taken == nil {
		return key, err
	}
	return taken, nil
}

func createKey(path string, suite sig.Suite) (*sig.PrivateKey, error) {
	key, err := sig.GenerateKey(suite, nil)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = writeFile(path, fmt.Appendf(nil, "%s %x\n", suite, key.Seed()))
	}
	if err != nil {
		return nil, fmt.Errorf("creating the device's key: %w", err)
	}
	return key, nil
}

// writeFile makes a file durable, wholly or not at all.
func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// An Enrolment is a device's request to be known to a network by its key.
type Enrolment struct {
	URL    string // of the node, as for NewHTTP
	Device lamppost.DeviceID
	Token  string // from the operator
	Key    *sig.PrivateKey
	Dir    string       // remembers the answer, so that later starts need no node; empty: asks every time
	Client *http.Client // nil: http.DefaultClient
}

// Enrolled is what a device must know of its network.
type Enrolled struct {
	Network  string `json:"network"`
	KeyEpoch uint32 `json:"key_epoch"`
}

// remembered is the file enrolment.json. It holds only for the key and device it was made for.
type remembered struct {
	Enrolled
	Device lamppost.DeviceID `json:"device"`
	Key    string            `json:"key"`
}

const enrolmentFile = "enrolment.json"

// Enrol registers the device's public key, or finds in Dir that this was done. A refusal by the network is a
// [lamppost.Refusal] in the error's chain. An HMAC key is a shared secret, so it goes only over https or to this machine.
func Enrol(ctx context.Context, e Enrolment) (Enrolled, error) {
	var known remembered
	me := remembered{Device: e.Device, Key: keyName(e.Key)}
	if text, err := os.ReadFile(filepath.Join(e.Dir, enrolmentFile)); e.Dir != "" && err == nil {
		if json.Unmarshal(text, &known) == nil && known.Device == me.Device && known.Key == me.Key {
			return known.Enrolled, nil
		}
	}
	if got, ok, err := e.rotated(); ok || err != nil {
		return got, err
	}
	var err error
	if me.Enrolled, err = e.ask(ctx); err != nil {
		return Enrolled{}, fmt.Errorf("enrolling device %q: %w", e.Device, err)
	}
	if e.Dir == "" {
		return me.Enrolled, nil
	}
	text, err := json.Marshal(me)
	if err == nil {
		err = writeFile(filepath.Join(e.Dir, enrolmentFile), append(text, '\n'))
	}
	if err != nil {
		return me.Enrolled, fmt.Errorf("remembering the enrolment of device %q: %w", e.Device, err)
	}
	return me.Enrolled, nil
}

// rotated finds in Dir that the device took this key for itself, or another one in its place.
func (e Enrolment) rotated() (got Enrolled, ok bool, err error) {
	if e.Dir == "" {
		return got, false, nil
	}
	r, err := readRotation(dirDisk{e.Dir})
	if err != nil || r.Device != e.Device {
		return got, false, err
	}
	if key, err := r.instead(e.Key); key == nil || err != nil {
		return got, false, err
	}
	return Enrolled{Network: r.Network, KeyEpoch: r.Current.Epoch}, true, nil
}

// keyName tells keys apart without giving a secret away.
func keyName(key *sig.PrivateKey) string {
	if key.Suite() == sig.HMAC256 {
		mac, err := key.Sign([]byte("lamppost enrolment"))
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%s:%x", key.Suite(), mac[:8])
	}
	return key.Public().String()
}

func (e Enrolment) ask(ctx context.Context) (Enrolled, error) {
	if e.Key.Suite() == sig.HMAC256 && !private(e.URL) {
		return Enrolled{}, fmt.Errorf("a shared key goes only over https, not to %q", e.URL)
	}
	return NewHTTP(e.URL, e.Device, e.Token, e.Client).enrol(ctx, enrolRequest{Suite: e.Key.Suite().String(), Key: e.Key.Public().Bytes()})
}

func enrolRefusal(status int, reply []byte) error {
	var said httpReply
	if json.Unmarshal(reply, &said) == nil {
		if code, ok := ParseCode(said.Code); ok {
			return lamppost.Refuse(code, "status %d: %s", status, said.Text)
		}
	}
	return fmt.Errorf("status %d: %.200q", status, reply)
}

// private reports whether what is sent to the URL cannot be read on the way.
func private(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
