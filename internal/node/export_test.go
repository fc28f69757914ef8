package node

import "context"

// A Part is one of the parts that RunStages runs.
type Part struct {
	Name string
	Run  func(context.Context) error
}

// RunStages runs parts as Run does with a node's.
func RunStages(ctx context.Context, parts ...Part) error {
	var s stages
	for _, p := range parts {
		s.add(p.Name, p.Run)
	}
	return s.run(ctx)
}

// SnapshotDue says whether a snapshot would be taken now.
func (n *Node) SnapshotDue() bool { return n.snapshotDue() }
