package judge

import "github.com/lamppost/lamppost"

// A link is in a list that is in the order of times, of which there are many in one slice.
type link struct {
	at   lamppost.TimeMS
	next int32 // -1: the last
}

// A list is empty, or valid as long as the slice of its links.
type list struct {
	head, tail int32
	some       bool
}

// add puts the latest of the links where its time belongs, behind those of the same time: reports of one device overtake each other on their
// way. It reports whether it is the list's first.
func (l *list) add(links []link) (first bool) {
	i := int32(len(links) - 1)
	x := &links[i]
	x.next = -1
	switch {
	case !l.some:
		*l = list{head: i, tail: i, some: true}
		return true
	case x.at >= links[l.tail].at:
		links[l.tail].next, l.tail = i, i
		return false
	}
	where := &l.head
	for links[*where].at <= x.at {
		where = &links[*where].next
	}
	x.next, *where = *where, i
	return false
}
