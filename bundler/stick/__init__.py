"""What makes a crate stand alone: the appliance inside it, and the stick and the card that carry it to a board."""
