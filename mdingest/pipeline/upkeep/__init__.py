"""What keeps a record whole beside the live work: repair of holes, and what runs at a time of day."""
