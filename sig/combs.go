package sig

import (
	"sync"
	"weak"
)

// combs holds the tables of this process, the only state that this package shares. It decides how long a check takes,
// never what it says.
var combs = combCache{limit: maxCombs}

// A combCache gives keys their tables, to at most limit at a time. It is safe for concurrent use.
//
// Keys earn a table with valid signatures, so that forgeries take nobody's. While there is room, a key has one as soon as
// it would have paid for itself. Later, every combPush signatures that were checked without a table move a hand one step
// round those who have one, and the signer takes the place of a key that was not used since the hand last came by. So
// a fleet too large for the cache keeps the tables it has instead of making new ones all the time, and one that
// changes pays 6% at most for making them.
type combCache struct {
	limit int

	mu      sync.Mutex
	owners  []weak.Pointer[p256Key] // who has a table; nil once nobody holds the key, then its table is gone too
	hand    int
	without int // signatures checked without a table since there is no room
}

// of returns the key's table, or nil.
func (c *combCache) of(k *p256Key) *comb {
	table := k.comb.Load()
	if table != nil && !k.used.Load() {
		k.used.Store(true)
	}
	return table
}

// earn is told of every valid signature that was checked without a table.
func (c *combCache) earn(k *p256Key) {
	if c.admit(k) {
		c.put(k, newComb(&k.point))
	}
}

// admit reports whether the key shall have a table now.
func (c *combCache) admit(k *p256Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	owner := c.atHand()
	if owner == nil {
		k.earned++
		return k.earned == combAfter
	}
	c.without++
	if c.without%combPush != 0 {
		return false
	}
	if owner.used.Swap(false) {
		c.hand = (c.hand + 1) % c.limit
		return false
	}
	return true
}

// atHand returns who must give its table up for another one to be made, or nil if there is room.
func (c *combCache) atHand() *p256Key {
	if len(c.owners) < c.limit {
		return nil
	}
	return c.owners[c.hand].Value()
}

func (c *combCache) put(k *p256Key, table *comb) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.comb.Load() != nil {
		return // another goroutine was faster
	}
	k.comb.Store(table)
	if len(c.owners) < c.limit {
		c.owners = append(c.owners, weak.Make(k))
		return
	}
	if owner := c.atHand(); owner != nil {
		owner.comb.Store(nil)
		owner.earned = 0
	}
	c.owners[c.hand] = weak.Make(k)
	c.hand = (c.hand + 1) % c.limit
}
