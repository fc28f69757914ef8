package device

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// An Announcer makes a device's next key known to its network. *HTTP is one.
type Announcer interface {
	// Announce returns the epoch under which the network has the key: now, or since an earlier call whose answer got lost.
	// consent is a [lamppost.KeyChange] by the key that the network has. A refusal for good is a *lamppost.Refusal in the
	// error's chain; any other error leaves open what happened, and Announce is called again with the same key.
	Announce(ctx context.Context, suite sig.Suite, key, consent []byte) (Enrolled, error)
}

// Rotate gives the device another key of the same suite. The new key is durable before it is announced, and what the device
// signs bears the key that it has until the network has confirmed the next one; reports in the queue stay as they are, for
// the network takes them for [lamppost.KeyGraceMS] more. The keys are kept in Dir: a program goes on giving Open, and
// [Enrol] with this Dir, the key that it always gave.
//
// It begins only when what the key before the present one signed is delivered ([ErrFormerQueued]).
//
// After an error that is no refusal the rotation is under way, through crashes too, until the network answers: Run goes on
// with it, and so does Rotate, always with the same key. A refusal for good ends it. It needs an [Announcer].
func (d *Device) Rotate(ctx context.Context) error {
	if err := d.rotate(ctx, true); err != nil {
		return fmt.Errorf("changing the key of device %q: %w", d.cfg.ID, err)
	}
	return nil
}

// rotate goes on with a rotation, and unless there is one begins it if it shall.
func (d *Device) rotate(ctx context.Context, begin bool) error {
	d.rotating.Lock()
	defer d.rotating.Unlock()
	to := d.announcer()
	if to == nil {
		return errors.New("neither Announcer nor Sender can tell the network")
	}
	next, consent, err := d.prepare(begin)
	if next == nil || err != nil {
		return err
	}
	got, err := to.Announce(ctx, next.Suite(), next.Public().Bytes(), consent)
	if err == nil && got.Network != d.cfg.Network {
		err = fmt.Errorf("the answer is of network %q, not %q", got.Network, d.cfg.Network)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		return d.confirm(next, got.KeyEpoch)
	case refusedRotation(err):
		return errors.Join(err, d.keepKeys(rotation{Current: d.rotation.Current, Last: d.rotation.Last}))
	}
	d.stats.LastError = err.Error()
	select {
	case d.unconfirmed <- struct{}{}:
	default: // Run knows already
	}
	return err
}

func refusedRotation(err error) bool {
	var refusal *lamppost.Refusal
	return errors.As(err, &refusal) && refusal.Code.Final()
}

func (d *Device) announcer() Announcer {
	if d.cfg.Announcer != nil {
		return d.cfg.Announcer
	}
	a, _ := d.cfg.Sender.(Announcer)
	return a
}

// prepare returns the next key, which is durable, and the present one's word that it takes over. Where there is no next
// key it makes one if it shall begin, and otherwise returns nil.
func (d *Device) prepare(begin bool) (next *sig.PrivateKey, consent []byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil || d.rotation.Next == nil && !begin {
		return nil, nil, err
	}
	suite := d.key.Suite()
	if suite == sig.HMAC256 {
		return nil, nil, errors.New("a key shared with a node has no signature to agree with: enrol another with a new token")
	}
	if d.rotation.Next == nil {
		if d.formerQueued() {
			return nil, nil, ErrFormerQueued
		}
		fresh, err := sig.GenerateKey(suite, nil)
		if err != nil {
			return nil, nil, err
		}
		r := rotation{Current: d.rotation.Current, Last: d.rotation.Last, Next: &keptKey{suite.String(), hex.EncodeToString(fresh.Seed()), d.epoch + 1}}
		if err := d.keepKeys(r); err != nil {
			return nil, nil, err
		}
	}
	if next, err = d.rotation.Next.key(); err != nil {
		return nil, nil, err
	}
	c := lamppost.KeyChange{ID: string(d.cfg.ID), Epoch: d.epoch, Next: d.epoch + 1, Suite: suite, Key: next.Public().Bytes()}
	consent, err = c.Sign(d.cfg.Network, lamppost.PurposeDeviceKey, d.key)
	return next, consent, err
}

// formerQueued reports whether something waits that was signed before the present key was in use. The caller holds d.mu.
func (d *Device) formerQueued() bool {
	for _, e := range d.queue.entries {
		if e.state != over {
			return compareSeq(e.seq, d.rotation.Last) <= 0 // they are in order
		}
	}
	return false
}

// confirm makes the next key the one in use, first on disk. The caller holds d.mu.
func (d *Device) confirm(next *sig.PrivateKey, epoch uint32) error {
	if err := d.usable(); err != nil {
		return err
	}
	kept := *d.rotation.Next
	kept.Epoch = epoch
	last := lamppost.Seq{Epoch: d.numbers.epoch, N: d.numbers.next - 1}
	if err := d.keepKeys(rotation{Current: &kept, Last: last}); err != nil {
		return err
	}
	d.key, d.epoch = next, epoch
	d.cfg.Log.Info("the device has another key", "key_epoch", epoch)
	return nil
}

// goOn finishes a rotation that is under way, and each that begins, until ctx is done.
func (d *Device) goOn(ctx context.Context) {
	pause := d.cfg.MinBackoff
	for d.announcer() != nil && ctx.Err() == nil {
		d.mu.Lock()
		waits := d.rotation.Next != nil
		d.mu.Unlock()
		if !waits {
			pause = d.cfg.MinBackoff
			select {
			case <-d.unconfirmed:
			case <-ctx.Done():
				return
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, d.cfg.MaxBackoff)
		attempt, cancel := context.WithTimeout(ctx, d.cfg.SendTimeout)
		if err := d.rotate(attempt, false); err != nil {
			d.cfg.Log.Warn("the network has not confirmed the device's next key", "error", err)
		}
		cancel()
	}
}

// A rotation is what the file "rotation" holds, as JSON: the keys that a device took for itself. It is replaced as a whole.
type rotation struct {
	Device  lamppost.DeviceID `json:"device"`
	Network string            `json:"network"`
	From    string            `json:"from"`              // name of the key that the program gives
	Current *keptKey          `json:"current,omitempty"` // in use, in place of that one
	Last    lamppost.Seq      `json:"last"`              // number that the key before Current may have signed
	Next    *keptKey          `json:"next,omitempty"`    // perhaps announced, not confirmed
}

type keptKey struct {
	Suite string `json:"suite"`
	Seed  string `json:"seed"` // hexadecimal
	Epoch uint32 `json:"key_epoch"`
}

const rotationFile = "rotation"

func (k *keptKey) key() (*sig.PrivateKey, error) {
	suite, err := sig.ParseSuite(k.Suite)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(k.Seed)
	if err != nil {
		return nil, err
	}
	return sig.NewPrivateKey(suite, seed)
}

// readRotation returns what the disk has; a device that never rotated has nothing.
func readRotation(on disk) (r rotation, err error) {
	if there, err := on.Exists(rotationFile); !there || err != nil {
		return r, err
	}
	f, err := on.Open(rotationFile)
	if err != nil {
		return r, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxRecordBytes))
	if err = errors.Join(err, f.Close()); err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading %q: %w", rotationFile, err)
	}
	return r, nil
}

// instead returns the key that a device took in place of the one it is given, nil where it did not.
func (r *rotation) instead(of *sig.PrivateKey) (*sig.PrivateKey, error) {
	if r.Current == nil {
		return nil, nil
	}
	key, err := r.Current.key()
	if name := keyName(of); err != nil || name != r.From && name != keyName(key) {
		return nil, err
	}
	return key, nil
}

// openKeys finds out which key is in use. What was kept for another key than the program gives now is of a former life.
func (d *Device) openKeys() error {
	d.key, d.epoch = d.cfg.Key, d.cfg.KeyEpoch
	r, err := readRotation(d.disk)
	if err != nil {
		return err
	}
	key, err := r.instead(d.cfg.Key)
	switch {
	case err != nil:
		return fmt.Errorf("reading %q: %w", rotationFile, err)
	case r.Device != d.cfg.ID || r.Network != d.cfg.Network:
		return nil
	case key != nil:
		d.key, d.epoch, d.rotation = key, r.Current.Epoch, r
	case r.Current == nil && r.From == keyName(d.cfg.Key):
		d.rotation = r
	}
	return nil
}

// keepKeys replaces the file. The caller holds d.mu.
func (d *Device) keepKeys(r rotation) error {
	r.Device, r.Network, r.From = d.cfg.ID, d.cfg.Network, d.rotation.From
	if r.Current == nil || r.From == "" {
		r.From = keyName(d.cfg.Key)
	}
	text, err := json.Marshal(r)
	if err == nil {
		err = replaceFile(d.disk, rotationFile, append(text, '\n'))
	}
	if err != nil {
		return d.fail(fmt.Errorf("keeping the device's keys: %w", err))
	}
	d.rotation = r
	return nil
}

// replaceFile makes a file durable, wholly or not at all.
func replaceFile(on disk, name string, data []byte) error {
	f, err := on.Open(name + ".new")
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := on.Rename(name+".new", name); err != nil {
		return err
	}
	return on.Sync()
}
