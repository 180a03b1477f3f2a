"""What the server makes of raw text and images before the graph gets them."""
