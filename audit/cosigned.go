package audit

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A Cosignature is a witness's word on a member's checkpoint: so many leaves under this root were the largest tree it had
// seen of this log at this time, and all it had seen before is the beginning of it.
type Cosignature struct {
	Witness string `json:"witness"` // its name
	Key     string `json:"key"`     // its verifier key
	Log     string `json:"log"`     // origin of the checkpoint
	Time    string `json:"time"`    // by the witness's clock
	Pinned  bool   `json:"pinned"`  // the pin names this key; if not, only the file itself does
}

// witnesses are the keys whose cosignatures a proof carries.
type witnesses struct {
	keys   []*lamppost.WitnessKey // in the proof's order
	notes  note.Verifiers
	pinned map[string]bool // by verifier key; of the pin
	asked  int             // of the pin's that must have cosigned a checkpoint
}

// readWitnesses reads the keys a proof brings along. They make sure that no byte of a line under a checkpoint can change
// unnoticed; which of them count is the pin's word alone.
func (e *Evidence) readWitnesses(pin *Pin) error {
	w := &e.witnesses
	w.pinned = map[string]bool{}
	if pin != nil {
		if err := pin.checkWitnesses(); err != nil {
			return fmt.Errorf("pin: %w", err)
		}
		w.asked = pin.WitnessQuorum
		for _, vkey := range pin.Witnesses {
			w.pinned[vkey] = true
		}
	}
	if len(e.proof.Witnesses) > lamppost.MaxWitnesses {
		return fmt.Errorf("witnesses: %d are over the limit of %d", len(e.proof.Witnesses), lamppost.MaxWitnesses)
	}
	var verifiers []note.Verifier
	for i, vkey := range e.proof.Witnesses {
		k, err := lamppost.ParseWitnessKey(vkey)
		if err != nil {
			return err
		}
		if i > 0 && vkey <= e.proof.Witnesses[i-1] {
			return fmt.Errorf("witness %q: the witnesses of a proof ascend", k.Name())
		}
		w.keys, verifiers = append(w.keys, k), append(verifiers, k)
	}
	w.notes = note.VerifierList(verifiers...)
	return nil
}

// maxUnix is the last second of the year 9999: a time beyond it is none that a clock shows.
const maxUnix = 253_402_300_799

// openCosignatures verifies the witnesses' lines under a checkpoint and returns them in the proof's order.
func (e *Evidence) openCosignatures(origin, text string) ([]note.Signature, error) {
	n, err := note.Open([]byte(text), e.witnesses.notes)
	var none *note.UnverifiedNoteError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("that of %q: %w", origin, err)
	}
	var lines []note.Signature
	for _, k := range e.witnesses.keys {
		for _, s := range n.Sigs {
			if s.Name != k.Name() || s.Hash != k.KeyHash() {
				continue
			}
			at := lamppost.CosignatureTime(s)
			if at > maxUnix {
				return nil, fmt.Errorf("that of %q: witness %q cosigned it after the year 9999", origin, k.Name())
			}
			lines = append(lines, s)
			e.Cosigned = append(e.Cosigned, Cosignature{Witness: k.Name(), Key: k.String(), Log: origin,
				Time: stamp(tariff.Zone{}, lamppost.TimeMS(at*1000)), Pinned: e.witnesses.pinned[k.String()]})
		}
	}
	return lines, nil
}

// cosignedEnough says which of the pin's witnesses cosigned a member's checkpoint, if too few did. Members' logs are
// counted apart: a witness that follows two logs never compares them.
func (e *Evidence) cosignedEnough(origin string) error {
	names := []string{}
	for _, c := range e.Cosigned {
		if c.Log == origin && c.Pinned {
			names = append(names, c.Witness)
		}
	}
	if len(names) >= e.witnesses.asked {
		return nil
	}
	if len(names) == 0 {
		return fmt.Errorf("checkpoint: none of the pin's witnesses cosigned that of %s, the pin asks for %d", origin, e.witnesses.asked)
	}
	return fmt.Errorf("checkpoint: that of %s is cosigned by %d of the pin's witnesses (%s), the pin asks for %d", origin, len(names),
		strings.Join(names, ", "), e.witnesses.asked)
}

// checkWitnessesUsed refuses keys that no line is of: they could say anything.
func (e *Evidence) checkWitnessesUsed() error {
	used := map[string]bool{}
	for _, c := range e.Cosigned {
		used[c.Key] = true
	}
	for _, k := range e.witnesses.keys {
		if !used[k.String()] {
			return fmt.Errorf("witness %q: it cosigned none of the proof's checkpoints", k.Name())
		}
	}
	return nil
}

// addCosigned says which witnesses cosigned, when, and what it leaves open where none does that the reader trusts.
func (e *Evidence) addCosigned(f *Finding) {
	f.Cosigned = e.Cosigned
	pinned := false
	for _, c := range e.Cosigned {
		whose := ", a witness of the pin"
		if !c.Pinned {
			whose = ", whose key only the file itself names"
		}
		pinned = pinned || c.Pinned
		f.add("cosigned by %s at %s%s", c.Witness, c.Time, whose)
	}
	if !pinned {
		f.DoesNotProve = append(f.DoesNotProve, "that everybody is shown this log: no witness that a pin names cosigned it")
	}
}
