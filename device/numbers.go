package device

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/lamppost/lamppost"
)

// numbers hands out report numbers, each at most once ever, whatever is lost when the power fails. A number is handed
// out only after a reservation that covers it is durable; what was reserved and perhaps not used is skipped at the next
// start. The file has two slots, written in turn, so that the one being written can be lost:
//
//	offset        size  what
//	0 and 4096    8     magic "lpnumbr1"
//	8             8     generation, big-endian like all that follows; the slot with the higher one counts
//	16            4     sequence epoch
//	20            4     boot number, one higher at every start
//	24            8     the highest number that may have been used in this epoch
//	32            1+n   length and text of "<network>/<device>"
//	33+n          4     CRC-32C over all before it
type numbers struct {
	f        file
	identity string
	gen      uint64
	epoch    uint32
	boot     uint32
	next     uint64 // to be handed out
	reserved uint64 // durable: next is never handed out above it
}

const (
	numbersFile  = "numbers"
	numbersMagic = "lpnumbr1"
	slotOffset   = 4096
	slotBytes    = 33 + 2*lamppost.MaxNameBytes + 1 + 4
)

// openNumbers continues the numbering, or begins it where there is no file.
func openNumbers(d disk, identity string, epoch uint32) (*numbers, error) {
	f, err := d.Open(numbersFile)
	if err != nil {
		return nil, fmt.Errorf("opening the numbers: %w", err)
	}
	n := &numbers{f: f, identity: identity, epoch: epoch, next: 1}
	if err = n.load(); err == nil {
		n.boot++
		err = n.write(n.reserved)
	}
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the numbers: %w", err), f.Close())
	}
	return n, nil
}

func (n *numbers) load() error {
	size, err := fileSize(n.f)
	if err != nil {
		return err
	}
	a, okA := n.readSlot(0)
	b, okB := n.readSlot(1)
	if okB && (!okA || b.gen > a.gen) {
		a = b
	}
	switch {
	case !okA && !okB && size <= slotOffset:
		return nil // the first start, or a power loss in it: the first reservation goes to the other slot
	case !okA && !okB:
		return fmt.Errorf("both copies are damaged, so numbers could be used twice: remove %q and raise SeqEpoch", numbersFile)
	case a.identity != n.identity:
		return fmt.Errorf("the folder belongs to device %q, not to %q", a.identity, n.identity)
	case a.epoch > n.epoch:
		return fmt.Errorf("SeqEpoch %d lies behind epoch %d, which was used before", n.epoch, a.epoch)
	}
	n.gen, n.boot = a.gen, a.boot
	if a.epoch == n.epoch {
		n.reserved = a.reserved
		if (!okA || !okB) && size > slotOffset {
			n.reserved += reserveAhead // the lost copy may have held the reservation after this one
		}
		n.next = n.reserved + 1
	}
	return nil
}

func (n *numbers) readSlot(i int64) (s numbers, ok bool) {
	var buf [slotBytes]byte
	got, err := n.f.ReadAt(buf[:], i*slotOffset)
	if err != nil && err != io.EOF || got < 37 || !bytes.HasPrefix(buf[:], []byte(numbersMagic)) {
		return s, false
	}
	end := 33 + int(buf[32])
	if got < end+4 || crc32.Checksum(buf[:end], castagnoli) != binary.BigEndian.Uint32(buf[end:]) {
		return s, false
	}
	return numbers{
		gen: binary.BigEndian.Uint64(buf[8:]), epoch: binary.BigEndian.Uint32(buf[16:]), boot: binary.BigEndian.Uint32(buf[20:]),
		reserved: binary.BigEndian.Uint64(buf[24:]), identity: string(buf[33:end]),
	}, true
}

// write makes a reservation durable, in the slot that does not hold the last one.
func (n *numbers) write(reserved uint64) error {
	gen := n.gen + 1
	b := binary.BigEndian.AppendUint64([]byte(numbersMagic), gen)
	b = binary.BigEndian.AppendUint32(b, n.epoch)
	b = binary.BigEndian.AppendUint32(b, n.boot)
	b = binary.BigEndian.AppendUint64(b, reserved)
	b = append(append(b, byte(len(n.identity))), n.identity...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := n.f.WriteAt(b, int64((gen+1)%2)*slotOffset); err != nil {
		return fmt.Errorf("reserving numbers: %w", err)
	}
	if err := n.f.Sync(); err != nil {
		return fmt.Errorf("reserving numbers: %w", err)
	}
	n.gen, n.reserved = gen, reserved
	return nil
}

// peek returns the next number, reserving it durably if it is not yet. It is used up only by take.
func (n *numbers) peek() (lamppost.Seq, error) {
	if n.next > n.reserved {
		if err := n.write(n.next + reserveAhead - 1); err != nil {
			return lamppost.Seq{}, err
		}
	}
	return lamppost.Seq{Epoch: n.epoch, N: n.next}, nil
}

func (n *numbers) take() { n.next++ }

// pass skips all numbers up to seq, which turned up although no reservation covers it.
func (n *numbers) pass(seq lamppost.Seq) {
	if seq.Epoch == n.epoch && seq.N >= n.next {
		n.next = seq.N + 1
	}
}

// close gives back what was reserved and not used, so that an orderly stop leaves no gap.
func (n *numbers) close() error {
	return errors.Join(n.write(n.next-1), n.f.Close())
}
