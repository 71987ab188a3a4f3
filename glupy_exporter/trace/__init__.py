"""What the flight recorder of this node's bricks shows to people: slow, in flight, and live."""
