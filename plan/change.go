package plan

// Direction of the declared position between two versions of a plan.
type Direction string

// The directions, on the newer version's itinerary. Unknown: the older
// position is no stop there.
const (
	Same     Direction = "same"
	Forward  Direction = "forward"
	Backward Direction = "backward"
	Unknown  Direction = "unknown"
)

// Change is what differs between two versions of a plan.
type Change struct {
	From, To  Position
	Direction Direction
	// Content: something other than position and suspend changed. Live: some
	// of it changes what is applied.
	Content, Live bool
	// Suspend changed.
	Suspend bool
	// Fields that changed, as paths such as spec.phases[gradual].bake,
	// sorted; position and suspend are among them.
	Fields []string
	// Removed stops: on the older itinerary but not on the newer one.
	Removed []Position
}

// Compare says what changed from old to new.
func Compare(old, new *Plan) Change {
	c := Change{From: old.Spec.Position, To: new.Spec.Position}
	c.Content = ContentDigest(old) != ContentDigest(new)
	c.Live = LiveDigest(old) != LiveDigest(new)
	return c
}
