"""One Fabric for a very long time: nothing grows, nothing is left."""
