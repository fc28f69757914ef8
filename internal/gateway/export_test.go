package gateway

import "context"

// AskGuards does at once what is done every refreshEvery.
func (g *Gateway) AskGuards(ctx context.Context) error {
	if err := g.refresh(ctx); err != nil {
		g.guards.tell()
		return err
	}
	return g.guards.ask(ctx)
}

// Understood reports whether a desired state is read as levels of functions.
func Understood(desired []byte) bool {
	_, ok := readLevels(desired)
	return ok
}
