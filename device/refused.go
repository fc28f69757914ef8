package device

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
)

// A Refused is a report the network will never take, as it stands in the file "refused", one JSON object a line.
type Refused struct {
	Time   lamppost.TimeMS   `json:"time_ms"` // when the refusal came, by the device's clock
	Epoch  uint32            `json:"epoch"`
	N      uint64            `json:"n"`
	ID     lamppost.ReportID `json:"-"`
	Code   string            `json:"code"`
	Text   string            `json:"text,omitempty"`
	Report []byte            `json:"report"` // base64
}

// refusedFile keeps refused reports: at most maxRefusedBytes in one file and the one before it.
type refusedFile struct {
	disk disk
	f    file
	size int64
}

const refusedName = "refused"

func openRefused(d disk) (*refusedFile, error) {
	f, err := d.Open(refusedName)
	if err != nil {
		return nil, fmt.Errorf("opening the record of refused reports: %w", err)
	}
	r := &refusedFile{disk: d, f: f}
	if r.size, err = fileSize(f); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the record of refused reports: %w", err), f.Close())
	}
	return r, r.endLine()
}

// endLine ends a line that a power loss cut short, so that the next one stands alone.
func (r *refusedFile) endLine() error {
	if r.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := r.f.ReadAt(last, r.size-1); err != nil {
		return fmt.Errorf("reading the record of refused reports: %w", err)
	}
	if last[0] == '\n' {
		return nil
	}
	if _, err := r.f.WriteAt([]byte{'\n'}, r.size); err != nil {
		return fmt.Errorf("mending the record of refused reports: %w", err)
	}
	r.size++
	return nil
}

// add makes one refusal durable.
func (r *refusedFile) add(ref Refused) error {
	line, err := json.Marshal(ref)
	if err != nil {
		return fmt.Errorf("recording the refused report %d/%d: %w", ref.Epoch, ref.N, err)
	}
	line = append(line, '\n')
	if r.size > 0 && r.size+int64(len(line)) > maxRefusedBytes {
		if err := r.rotate(); err != nil {
			return fmt.Errorf("recording the refused report %d/%d: %w", ref.Epoch, ref.N, err)
		}
	}
	if _, err := r.f.WriteAt(line, r.size); err != nil {
		return fmt.Errorf("recording the refused report %d/%d: %w", ref.Epoch, ref.N, err)
	}
	r.size += int64(len(line))
	if err := r.f.Sync(); err != nil {
		return fmt.Errorf("recording the refused report %d/%d: %w", ref.Epoch, ref.N, err)
	}
	return nil
}

func (r *refusedFile) rotate() error {
	if err := r.disk.Rename(refusedName, refusedName+".old"); err != nil {
		return err
	}
	f, err := r.disk.Open(refusedName)
	if err != nil {
		return err
	}
	old := r.f
	r.f, r.size = f, 0
	return errors.Join(old.Close(), r.disk.Sync())
}
