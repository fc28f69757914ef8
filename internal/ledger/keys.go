package ledger

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
)

// The state's layout. Every key begins with 's' so that it shares the store with log and archive. Ids hold no byte
// below '-', so a zero byte ends them and keeps the order of a scan. Bodies have the place of their transaction (height,
// index) before them.
//
//	sN                                  GenesisBody, as it was founded
//	sP <party>                          PartyBody          sD <device> 0 <key epoch>   Key[DeviceBody]
//	sQ <device>                         sequence state     sI <device> 0 <slot>        id of a recent report
//	sF <device>                         why quarantined    sE <device> 0 <reg> 0 <t>   edge: register at a quarter hour
//	sO <point> 0 <mount>                PointBody          sT <tariff> 0 <version>     tariff.Tariff
//	sG <agreement> 0 <n>                AgreementBody      sB <agreement>              billed until
//	sA <party> 0 <currency>             balance            sC <seller>                 last invoice number
//	sW <gateway> 0 <key epoch>          Key[GatewayBody]   sR <device> 0 <key epoch>   RevokeBody
//	sK <gateway> 0 <key epoch>          RevokeBody
//	sS <height> <index>                 segmentRecord      sS <height> <index> <report>  reportRecord
//	sV <buyer> 0 <seller> 0 <number>    where its transaction stands
//	sJ <seller> 0 <number>              billed: what an invoice came to
//	sU <dispute>                        DisputeBody        sL <session>                use
//	sH <party> 0 <currency>             held               sZ <device> 0 <reg>         seat: what session it serves
//	sM <device> 0 <reg> 0 <t>           a register at a moment, where there are sessions
//	sl <seller> 0 <buyer> 0 <session>   settled and not billed yet
//	sY <id>                             where a transaction was decided whose id is still remembered
//	sX <expiry> <id>                    the same ids by when they may be forgotten
//
// In small letters, what is kept and forgotten, of which only heights and ids sort; <place> is 12 bytes:
//
//	sr <device>                         RetentionBody      sh <hold>                   HoldBody
//	se <place>                          erasure            sa <place> <member>         when a member attested it
//	sd <device>                         its last erasure   sg <place of an order>      by what it was erased
//	sc                                  the last blocks that changed any of it, and that erased
//
//	sn <height> <member>                SnapshotBody: a member's word on its state
//
//	sk <contract> 0 <version>           ContractBody       sj <contract>               standing
//	si <place> <contract>               Run: what a contract did there
//	s7 <contract> 0 <n>                 <place> of its nth run
//	s9 <party> 0 <contract>             that it or a device of it is bound by it
//	su <device> 0 <number>              CharterBody        sy <device> 0 <restriction>  RestrictBody
//	s8 <device>                         Desire: the latest command
//	sp <device> 0 <version>             CentreBody         so <offer>                  OfferBody
//	sq <device> 0 <t> <index>           booking: what an invoice issued then came to for a device
//	sf <device> 0 'b'                   books: how far closed
//	sf <device> 0 'p' <t>               PayoutBody that closed them until then
//	sf <device> 0 's' <t>               spending in the period of its limit that begins then
//
//	sm                                  what changed in the network since its founding
//	sv <hash of NetworkBody> <member>   that a member has ordered this change
//
//	sw <channel>                        channel            sx <party>                  contradiction of a payer
//	sx <seller> 0 <buyer> 0 <channel>   closed and not billed yet
//
// Of triage; <verdict> is its id in 16 bytes, inverted, so that the latest comes first:
//
//	st <verdict>                        Verdict            sz <device> 0 <verdict>     the verdicts about a device
//	sb <device> 0 <reg> 0 <verdict>     its verdicts that suspend a register
//	ss 'o' <verdict>                    that wait for an answer
//	ss 'k' <device> 0 <verdict>         of which time reports stay raw
//	ss 'r' <device> 0 <hash>            which verdict judged a reading
//	ss 'm' <member>                     up to which block it judged
//	ss 'p' <point>                      WatchBody          ss 'd' <device>             WatchBody
//	ss 'b'                              WatchBody with the budget
//
// Of agents, under digits:
//
//	s0 <device>                         AgentBody          s1 <device>                 progress: how far decided
//	s2 <device> 0 <month> 0 <currency>  Record             s3 <device> 0 <slot>        Decision, one of the latest 256
//	s4 <decision>                       whose, which slot; <decision> is inverted as <verdict> is
//	s5 <device> 0 <place>               that the order there says something of the device's decisions
//	s6 <model> 0 <learner> 0 <base>     LearnBody
const prefix = 's'

func key(kind byte, parts ...string) []byte {
	b := append(make([]byte, 0, 64), prefix, kind)
	for i, p := range parts {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, p...)
	}
	return b
}

func genesisKey() []byte { return key('N') }

func recentKey(b []byte, id lamppost.DeviceID, slot uint8) []byte {
	b = append(append(b, prefix, 'I'), id...)
	return append(b, 0, slot)
}

func edgeKey(id lamppost.DeviceID, register string, t lamppost.TimeMS) []byte {
	return binary.BigEndian.AppendUint64(append(key('E', string(id), register), 0), uint64(t))
}

func tariffKey(id string, version uint32) []byte {
	return binary.BigEndian.AppendUint32(append(key('T', id), 0), version)
}

func pointKey(id string, mount uint32) []byte { return epochKey('O', id, mount) }

// agreementKey is of an agreement's order n, counted from 0: the last says how it stands.
func agreementKey(id string, n uint32) []byte { return epochKey('G', id, n) }

func txKey(expiry lamppost.TimeMS, id lamppost.TxID) []byte {
	return append(binary.BigEndian.AppendUint64(key('X'), uint64(expiry)), id[:]...)
}

// epochKey is the key of what is kept by key epoch, in the order of the epochs.
func epochKey(kind byte, id string, epoch uint32) []byte {
	return binary.BigEndian.AppendUint32(append(key(kind, id), 0), epoch)
}

func idKey(id lamppost.TxID) []byte { return append(key('Y'), id[:]...) }

// end returns the first key after all keys that begin with p, which begins with the prefix of the state.
func end(p []byte) []byte {
	e := slices.Clone(p)
	for e[len(e)-1] == 0xff {
		e = e[:len(e)-1]
	}
	e[len(e)-1]++
	return e
}

// put writes a value that may be read again before it is committed.
func (s *State) put(key, val []byte) {
	if val == nil {
		val = []byte{}
	}
	s.overlay.set(key, val)
	s.writes = appendWrite(s.writes, key, val)
}

// putBody writes a registered body with the place of its transaction before it, so that it can be proven.
func (s *State) putBody(key []byte, body any) { s.putAt(key, Place{s.height, s.index}, body) }

func (s *State) putAt(key []byte, at Place, body any) {
	s.put(key, append(at.append(nil), lamppost.Marshal(body)...))
}

func decodeBody[B any](val []byte) (b B, err error) {
	if len(val) < placeBytes {
		return b, errors.New("a registered body is damaged")
	}
	return b, lamppost.Unmarshal(val[placeBytes:], &b)
}

func (s *State) del(key []byte) {
	s.overlay.set(key, nil)
	s.writes = appendDelete(s.writes, key)
}

// Writes are encoded as the log commits to them: for each, in the order made, key length (2 bytes), key, value length
// plus one (4 bytes; 0: deleted), value; integers big-endian.
func appendWrite(b, key, val []byte) []byte {
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(key))), key...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(val)+1)), val...)
}

func appendDelete(b, key []byte) []byte {
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(key))), key...)
	return binary.BigEndian.AppendUint32(b, 0)
}

func forEachWrite(b []byte, fn func(key, val []byte, deleted bool)) {
	for len(b) > 0 {
		n := 2 + int(binary.BigEndian.Uint16(b))
		key := b[2:n]
		size := int(binary.BigEndian.Uint32(b[n:]))
		b = b[n+4:]
		if size == 0 {
			fn(key, nil, true)
			continue
		}
		fn(key, b[:size-1], false)
		b = b[size-1:]
	}
}
