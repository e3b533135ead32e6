"""The connected side: recipe → lock → fetch → pack → sign."""
