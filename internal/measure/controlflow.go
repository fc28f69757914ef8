package measure

// most is the most energy that a garage could charge under a limit if all sessions were known, in Wh: the largest flow from sessions through quarters
// of an hour (Dinic 1970).
func (g *garage) most(limit int64) int64 {
	last := 0
	for _, v := range g.visits {
		last = max(last, v.to)
	}
	sessions := len(g.visits)
	n := newNetwork(sessions + last + 2)
	from, to := sessions+last, sessions+last+1
	for i := range g.visits {
		v := &g.visits[i]
		n.edge(from, i, v.fits())
		for q := v.from; q < v.to; q++ {
			n.edge(i, sessions+q, quarterWh)
		}
	}
	for q := range last {
		n.edge(sessions+q, to, limit/4)
	}
	return n.flow(from, to)
}

// A network of flows: edge e and e^1 are each other's way back.
type network struct {
	first, next, head []int
	room              []int64
	level, at         []int
}

func newNetwork(nodes int) *network {
	n := &network{first: make([]int, nodes), level: make([]int, nodes), at: make([]int, nodes)}
	for i := range n.first {
		n.first[i] = -1
	}
	return n
}

func (n *network) edge(from, to int, room int64) {
	for _, e := range [...]struct {
		from, to int
		room     int64
	}{{from, to, room}, {to, from, 0}} {
		n.head, n.room, n.next = append(n.head, e.to), append(n.room, e.room), append(n.next, n.first[e.from])
		n.first[e.from] = len(n.head) - 1
	}
}

func (n *network) flow(from, to int) (sum int64) {
	for n.levels(from, to) {
		copy(n.at, n.first)
		for {
			got := n.push(from, to, 1<<62)
			if got == 0 {
				break
			}
			sum += got
		}
	}
	return sum
}

// levels counts edges from the source, and says whether the sink is reached.
func (n *network) levels(from, to int) bool {
	for i := range n.level {
		n.level[i] = -1
	}
	n.level[from] = 0
	queue := []int{from}
	for len(queue) > 0 {
		u := queue[0]
		queue = queue[1:]
		for e := n.first[u]; e >= 0; e = n.next[e] {
			if v := n.head[e]; n.room[e] > 0 && n.level[v] < 0 {
				n.level[v] = n.level[u] + 1
				queue = append(queue, v)
			}
		}
	}
	return n.level[to] >= 0
}

func (n *network) push(u, to int, most int64) int64 {
	if u == to {
		return most
	}
	for ; n.at[u] >= 0; n.at[u] = n.next[n.at[u]] {
		e := n.at[u]
		if v := n.head[e]; n.room[e] > 0 && n.level[v] == n.level[u]+1 {
			if got := n.push(v, to, min(most, n.room[e])); got > 0 {
				n.room[e] -= got
				n.room[e^1] += got
				return got
			}
		}
	}
	return 0
}
